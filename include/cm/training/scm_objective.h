// Simplified, stabilized continuous-time consistency models (sCM; Lu & Song, arXiv 2410.11081): training
// (sCT) and distillation (sCD) in TrigFlow.
#pragma once

#include "cm/base/limits.h"
#include "cm/training/model.h"
#include "cm/training/objective.h"

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
Objective sct_objective(const ScmOptions& options, const Model& student, uint64_t seed);

// dx_t/dt from the teacher, any diffusion model of the student's classes, guided by the weight `guidance`
// (cm/training/guided_model.h).
Objective scd_objective(const ScmOptions& options, const Model& student, const Model& teacher, uint64_t seed,
                        double guidance = 1);

}  // namespace cm
