// What the kernels take; everything else goes to LibTorch's operators.
#pragma once

#include <optional>

#include "cm/base/tensor.h"
#include "cm/kernels/paths.h"

namespace cm {

// Whether a type is one of mixed precision: fp16 or bf16.
inline bool is_half(torch::Dtype type) {
  return type == torch::kFloat16 || type == torch::kBFloat16;
}

// As an autograd function takes an input that may be missing.
inline std::optional<Tensor> if_defined(const Tensor& x) {
  return x.defined() ? std::optional(x) : std::nullopt;
}

// Of a tensor in fp32; null of an undefined one.
inline const float* floats_or_null(const Tensor& x) {
  return x.defined() ? x.const_data_ptr<float>() : nullptr;
}
inline float* writable_floats_or_null(const Tensor& x) {
  return x.defined() ? x.data_ptr<float>() : nullptr;
}

// x · factor, without a pass where that is x itself.
inline Tensor scaled_by(const Tensor& x, double factor) {
  return factor == 1 ? x : x * factor;
}

// Whether x lies position by position, and not, as for one position or one channel, in both orders.
bool is_channels_last(const Tensor& x);

// Beyond those of its own sizes, a kernel takes x in fp32, on a GPU also in fp16 and bf16, and the others in
// fp32; all on one device, the CPU or a GPU that this library has kernels for; strided, without autocast, the
// others without tangents. An undefined tensor has no say.
std::optional<Obstacle> obstacle_to_kernel(const Tensor& x, std::initializer_list<Tensor> others);

// To the kernel of a gradient, within the backward pass: the kernels have no derivatives of their own.
std::optional<Obstacle> obstacle_to_gradient();

}  // namespace cm
