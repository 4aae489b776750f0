// The group normalisation by our own kernels, without autograd: on the CPU, and on GPUs where the library was
// built with nvcc.
#pragma once

#include <array>

#include "cm/kernels/group_norm.h"
#include "cm/kernels/paths.h"

namespace cm {

// What keeps the kernels from these (cm/kernels/group_norm.h), if anything; their shapes fit.
std::optional<Obstacle> obstacle_to_fused_group_norm(const Biased& x, const NormParameters& norm,
                                                     const Tensor& condition);

struct FusedGroupNormResult {
  Tensor y;
  Tensor mean;       // of each group, fp32 [B, groups]
  Tensor rstd;       // 1/√(var + ε)
  Tensor deviation;  // Σ (x − mean) of each channel, fp32 [B, C]; undefined where x has no bias
};

FusedGroupNormResult fused_forward(const Biased& x, const NormParameters& norm, const Tensor& condition,
                                   Activation activation);

// For x's image, weight, bias, condition and x's bias; the last two undefined where there are none.
using GroupNormGradients = std::array<Tensor, 5>;

// `saved` is the forward pass's result, whose y is not needed.
GroupNormGradients fused_backward(const Biased& x, const NormParameters& norm, const Tensor& condition,
                                  Activation activation, const FusedGroupNormResult& saved, const Tensor& dy);

// What keeps the kernel from the tangent besides, if anything.
std::optional<Obstacle> obstacle_to_fused_tangent(const Biased& x, const NormParameters& norm,
                                                  const Tensor& condition);

// ẏ, given the tangents of x's image and bias and of the condition, of which those of the latter two may be
// undefined.
Tensor fused_tangent(const Biased& x, const NormParameters& norm, const Tensor& condition,
                     Activation activation, const Biased& x_dot, const Tensor& condition_dot);

}  // namespace cm
