// Consistency distillation and training in continuous time (CM Appendix B; losses: continuous_losses.h). The
// noise level's root s = σ^{1/ρ} is uniform on [ε^{1/ρ}, T^{1/ρ}]; there is no grid and no target network.
#pragma once

#include "cm/diffusion/distance.h"
#include "cm/diffusion/weighting.h"
#include "cm/training/method.h"

namespace cm {

// The weight w(σ) of a sample, with λ the `weighting`.
enum class ContinuousWeight {
  uniform,  // λ, as in the JAX release
  limit,  // that of a discrete objective of N → ∞ levels: λ dσ/dv with v the fraction of the grid, dσ/dv =
          // ρ (T^{1/ρ} − ε^{1/ρ}) σ^{1 − 1/ρ}; for uᵀHu, the limit of a square, λ (dσ/dv)²
};

struct ContinuousOptions {
  bool stop_gradient = true;
  Distance distance = Distance::l2;
  ContinuousWeight weight = ContinuousWeight::uniform;
  Weighting weighting = Weighting::uniform;
};

template <class Visitor>
void fields(Visitor& visit, ContinuousOptions& o) {
  visit("stop_gradient", o.stop_gradient,
        "hold the tangent fixed (CM Theorems 5 and 6), or learn through it (Theorems 3 and 4; slower)");
  visit("distance", o.distance, "d: l2 or lpips; without stop_gradient l1 too");
  visit("weight", o.weight, "w(σ): λ alone, or the limit of the discrete objective's");
  visit("weighting", o.weighting, "λ(σ)");
}

// A distance that has no such loss.
void validate(const ContinuousOptions& options, const Complain& complain);

// What both report as their loss: with stop_gradient, whose loss need not fall, the mean square of u
// (unweighted); otherwise the loss.

struct ContinuousCdOptions : ContinuousOptions {
  static constexpr MethodName name{"continuous_cd", "cm-train-cd",
                                   "consistency distillation in continuous time (CM Appendix B.1)"};
};

Method method_of(const ContinuousCdOptions& options, int64_t total_steps);
Objective objective_of(const ContinuousCdOptions& options, const Binding& binding);

struct ContinuousCtOptions : ContinuousOptions {
  static constexpr MethodName name{"continuous_ct", "cm-train-ct",
                                   "consistency training in continuous time (CM Appendix B.2)"};
};

// That of both, and stop_gradient.
void validate(const ContinuousCtOptions& options, const Complain& complain);
Method method_of(const ContinuousCtOptions& options, int64_t total_steps);
Objective objective_of(const ContinuousCtOptions& options, const Binding& binding);

}  // namespace cm
