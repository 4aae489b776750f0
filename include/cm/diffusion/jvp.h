// The change of a denoiser along a direction in (x, σ): a Jacobian-vector product.
#pragma once

#include "cm/diffusion/denoiser.h"

namespace cm {

// A direction in (x, σ): x_dot of x's shape, sigma_dot [B].
struct Direction {
  Tensor x_dot;
  Tensor sigma_dot;
};

struct Jvp {
  Tensor value;    // f(x, σ)
  Tensor tangent;  // u = ∂f/∂x · ẋ + ∂f/∂σ · σ̇, of x's shape
};

// Both by one pass of forward-mode automatic differentiation, without autograd state: no gradient reaches f's
// parameters.
Jvp jvp(const Denoiser& f, const Tensor& x, const Tensor& sigma, const Direction& direction);

// The same pass, whose value is differentiable in f's parameters and whose tangent is a number, for losses
// like ‖f − sg(f − g)‖² with g made of the tangent. Where f's layers compute as cm/base/dual.h says, as
// those of cm/nn do, the backward pass keeps what it keeps of f(x, σ) alone.
Jvp jvp_with_graph(const Denoiser& f, const Tensor& x, const Tensor& sigma, const Direction& direction);

// The same numbers, differentiable in f's parameters, by two backward passes (the first is linear in its seed
// v: u = ∂/∂v ⟨∂f/∂(x, σ)ᵀ v, (ẋ, σ̇)⟩).
Jvp differentiable_jvp(const Denoiser& f, const Tensor& x, const Tensor& sigma, const Direction& direction);

// While it lives, attention runs by its plain formula, which can be differentiated forwards and twice.
class PlainAttention {
 public:
  PlainAttention();
  ~PlainAttention();
  PlainAttention(const PlainAttention&) = delete;
  PlainAttention& operator=(const PlainAttention&) = delete;

 private:
  bool flash_;
  bool memory_efficient_;
  bool cudnn_;
};

}  // namespace cm
