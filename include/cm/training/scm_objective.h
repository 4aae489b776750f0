// Simplified, stabilized continuous-time consistency models (sCM; Lu & Song, arXiv 2410.11081): training
// (sCT) and distillation (sCD) in TrigFlow.
#pragma once

#include "cm/base/limits.h"
#include "cm/training/method.h"

namespace cm {

struct ScmOptions {
  double p_mean = -1.0;
  double p_std = 1.4;
  int64_t tangent_warmup_steps = 10000;
  double tangent_c = 0.1;
};

template <class Visitor>
void fields(Visitor& visit, ScmOptions& o) {
  visit("p_mean", o.p_mean, "mean of ln σ, t = arctan(σ/σ_d)");
  visit("p_std", o.p_std, "standard deviation of ln σ", above(0));
  visit(
      "tangent_warmup_steps", o.tangent_warmup_steps,
      "steps H over which the part of the tangent that differentiates the network comes in, r = min(1, k/H)",
      within(0, kMostSteps));
  visit("tangent_c", o.tangent_c, "c of the normalized tangent g/(‖g‖ + c)", above(0));
}

// Both train a student whose parameterization is trig, and with it an AdaptiveWeighting (Objective::learned).

// dx_t/dt = cos(t) z − sin(t) x₀, from the data.
struct SctOptions : ScmOptions {
  static constexpr MethodName name{"sct", "cm-train-ct",
                                   "continuous-time consistency training in TrigFlow (sCM)"};
};

Method method_of(const SctOptions& options, int64_t total_steps);
Objective objective_of(const SctOptions& options, const Binding& binding);

// dx_t/dt from the teacher, any diffusion model.
struct ScdOptions : ScmOptions {
  static constexpr MethodName name{"scd", "cm-train-cd",
                                   "continuous-time consistency distillation in TrigFlow (sCM)"};
};

Method method_of(const ScdOptions& options, int64_t total_steps);
Objective objective_of(const ScdOptions& options, const Binding& binding);

}  // namespace cm
