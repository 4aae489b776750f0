// The precision of features on a GPU.
#pragma once

#include <ATen/Context.h>

namespace cm {

// cuDNN and cuBLAS in whole fp32 while this lives: TF32's 10 bits would show in a distance's third digit.
class WholeFp32 {
 public:
  WholeFp32() : cudnn_(at::globalContext().allowTF32CuDNN()), cublas_(at::globalContext().allowTF32CuBLAS()) {
    set(false, false);
  }
  ~WholeFp32() { set(cudnn_, cublas_); }
  WholeFp32(const WholeFp32&) = delete;
  WholeFp32& operator=(const WholeFp32&) = delete;

 private:
  static void set(bool cudnn, bool cublas) {
    at::globalContext().setAllowTF32CuDNN(cudnn);
    at::globalContext().setAllowTF32CuBLAS(cublas);
  }
  bool cudnn_;
  bool cublas_;
};

}  // namespace cm
