// Where the parity tests compute: on the CPU, or on the device that the environment variable CM_PARITY_DEVICE
// names (cuda, cuda:1). TF32 is off, whose 10 bits are far above every tolerance.
#pragma once

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <cstdlib>

#include "cm/base/tensor.h"
#include "cm/base/text.h"

namespace cm::test {

inline torch::Device parity_device() {
  static const torch::Device device = [] {
    at::globalContext().setAllowTF32CuBLAS(false);
    at::globalContext().setAllowTF32CuDNN(false);
    const char* name = std::getenv("CM_PARITY_DEVICE");
    return torch::Device(name != nullptr ? name : "cpu");
  }();
  return device;
}

// What the numbers were computed with: "LibTorch 2.11.0, CPU (AVX512), 1 thread, TF32 off".
inline std::string computed_with() {
  const torch::Device device = parity_device();
  if (!device.is_cpu()) return concat("LibTorch ", TORCH_VERSION, ", ", device.str(), ", TF32 off");
  const int threads = at::get_num_threads();
  return concat("LibTorch ", TORCH_VERSION, ", CPU (", at::get_cpu_capability(), "), ", threads,
                threads == 1 ? " thread" : " threads", ", TF32 off");
}

}  // namespace cm::test
