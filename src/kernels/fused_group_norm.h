// The group normalisation by our own kernels, without autograd: on the CPU, and on GPUs where the library was
// built with nvcc.
#pragma once

#include <array>

#include "cm/kernels/group_norm.h"
#include "cm/kernels/paths.h"

namespace cm {

// What keeps the kernels from these (cm/kernels/group_norm.h), if anything; their shapes fit.
std::optional<Obstacle> obstacle_to_fused_group_norm(const Tensor& x, const NormParameters& norm,
                                                     const Tensor& condition);

struct FusedGroupNormResult {
  Tensor y;
  Tensor mean;  // of each group, fp32 [B, groups]
  Tensor rstd;  // 1/√(var + ε)
};

FusedGroupNormResult fused_forward(const Tensor& x, const NormParameters& norm, const Tensor& condition,
                                   Activation activation);

// For x, weight, bias, condition; the last undefined where there is none.
using GroupNormGradients = std::array<Tensor, 4>;

// `saved` is the forward pass's result, whose y is not needed.
GroupNormGradients fused_backward(const Tensor& x, const NormParameters& norm, const Tensor& condition,
                                  Activation activation, const FusedGroupNormResult& saved, const Tensor& dy);

// What keeps the kernel from the tangent besides, if anything.
std::optional<Obstacle> obstacle_to_fused_tangent(const Tensor& x, const NormParameters& norm,
                                                  const Tensor& condition);

// ẏ, given ẋ and the condition's tangent, which may be undefined.
Tensor fused_tangent(const Tensor& x, const NormParameters& norm, const Tensor& condition,
                     Activation activation, const Tensor& x_dot, const Tensor& condition_dot);

}  // namespace cm
