// Consistency distillation and training in continuous time (CM Appendix B; losses: continuous_losses.h). The
// noise level's root s = σ^{1/ρ} is uniform on [ε^{1/ρ}, T^{1/ρ}]; there is no grid and no target network.
#pragma once

#include "cm/diffusion/distance.h"
#include "cm/diffusion/weighting.h"
#include "cm/training/continuous_losses.h"
#include "cm/training/model.h"
#include "cm/training/objective.h"

namespace cm {

// The weight w(σ) of a sample, with λ the `weighting`.
enum class ContinuousWeight {
  uniform,  // λ, as in the JAX release
  limit,  // that of a discrete objective of N → ∞ levels: λ dσ/dv with v the fraction of the grid, dσ/dv =
          // ρ (T^{1/ρ} − ε^{1/ρ}) σ^{1 − 1/ρ}; for uᵀHu, the limit of a square, λ (dσ/dv)²
};
template <>
struct EnumNames<ContinuousWeight> {
  static constexpr std::array names = {EnumName{ContinuousWeight::uniform, "uniform"},
                                       EnumName{ContinuousWeight::limit, "limit"}};
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

// What both objectives report as their loss: with stop_gradient, whose loss need not fall, the mean square of
// u (unweighted); otherwise the loss. `distance`: what the options name, made by make_distance. `teacher` is
// an EDM denoiser with the student's classes, guided by the weight `guidance`
// (cm/training/guided_model.h).
Objective continuous_cd_objective(const ContinuousOptions& options, const DistanceFunction& distance,
                                  const Model& student, const Model& teacher, uint64_t seed,
                                  double guidance = 1);

// Needs stop_gradient.
Objective continuous_ct_objective(const ContinuousOptions& options, const DistanceFunction& distance,
                                  const Model& student, uint64_t seed);

}  // namespace cm
