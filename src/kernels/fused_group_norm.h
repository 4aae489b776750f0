// The group normalisation by our own kernels, without autograd: on the CPU, and on GPUs where the library was
// built with nvcc.
#pragma once

#include "cm/kernels/group_norm.h"
#include "cm/kernels/paths.h"

namespace cm {

// What keeps the kernels from these (cm/kernels/group_norm.h), if anything; their shapes fit.
std::optional<Obstacle> obstacle_to_fused_group_norm(const NormInput& x, const NormParameters& norm,
                                                     const Tensor& condition);

struct FusedGroupNormResult {
  Tensor y;
  Tensor mean;       // of each group, fp32 [B, groups]
  Tensor rstd;       // 1/√(var + ε)
  Tensor deviation;  // Σ (x − mean) of each channel, fp32 [B, C]; undefined where x has no bias
};

FusedGroupNormResult fused_forward(const NormInput& x, const NormParameters& norm, const Tensor& condition,
                                   Activation activation);

// Undefined where there is no such input.
struct GroupNormGradients {
  Joined x;
  Tensor weight;
  Tensor bias;
  Tensor condition;
  Tensor added;  // x's bias
};

// `saved` is the forward pass's result, whose y is not needed.
GroupNormGradients fused_backward(const NormInput& x, const NormParameters& norm, const Tensor& condition,
                                  Activation activation, const FusedGroupNormResult& saved, const Tensor& dy);

// What keeps the kernel from the tangent besides, if anything.
std::optional<Obstacle> obstacle_to_fused_tangent(const NormInput& x, const NormParameters& norm,
                                                  const Tensor& condition);

// ẏ, given the tangents of x's image and bias and of the condition, of which those of the latter two may be
// undefined.
Tensor fused_tangent(const NormInput& x, const NormParameters& norm, const Tensor& condition,
                     Activation activation, const NormInput& x_dot, const Tensor& condition_dot);

}  // namespace cm
