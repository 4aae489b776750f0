// Attention of dual tensors (cm/base/dual.h) and of others.
#pragma once

#include "cm/base/tensor.h"

namespace cm {

// o = P v with P = softmax(q kᵀ/√d) over the keys: q, k, v [B, heads, positions, d] → the same, by LibTorch's
// fused kernels. Of duals the tangent is
//
//   o̊ = P̊ v + P v̊,   P̊ = P ⊙ (S̊ − rowsum(P ⊙ S̊)),   S̊ = (q̊ kᵀ + q k̊ᵀ)/√d,
//
// which the fused kernels have not, computed exactly for some queries at a time: its memory grows with the
// positions, not with their square.
Tensor dual_attention(const Tensor& q, const Tensor& k, const Tensor& v);

}  // namespace cm
