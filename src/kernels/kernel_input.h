// What the kernels take; everything else goes to LibTorch's operators.
#pragma once

#include "cm/base/tensor.h"

namespace cm {

// Whether a type is one of mixed precision: fp16 or bf16.
inline bool is_half(torch::Dtype type) {
  return type == torch::kFloat16 || type == torch::kBFloat16;
}

// Whether forward-mode differentiation, of which PyTorch has one level, passes through it.
bool has_tangent(const Tensor& tensor);

// Whether a kernel for the CPU takes all of these: fp32 there, strided, without tangents, and no autocast. An
// undefined tensor has no say.
bool is_kernel_input(std::initializer_list<Tensor> tensors);

// Whether a kernel for GPUs takes all of these: x in fp32, fp16 or bf16 and the others in fp32, all on one
// GPU for which this library has kernels, strided, without tangents, and no autocast.
bool is_cuda_kernel_input(const Tensor& x, std::initializer_list<Tensor> others);

}  // namespace cm
