// Easy consistency tuning (ECT; Geng et al., arXiv 2406.14548): a diffusion model's weights, tuned into a
// consistency function by pairs (t, r) that close up in stages, r → t.
#pragma once

#include "cm/base/limits.h"
#include "cm/training/method.h"

namespace cm {

// What a pair's loss is multiplied by.
enum class EctWeighting {
  gap,     // 1/(t − r): CIFAR-10
  karras,  // 1/t² + 1/σ_d²: ImageNet 64 × 64
};

// The pairs of ECT and of what builds on it (cm/training/tcm_objective.h). The defaults are those of
// CIFAR-10; on ImageNet 64 × 64 q = 4, karras and c = 0.06, with ln t ~ N(−0.8, 1.6²).
struct EctPairOptions {
  double q = 2;
  double k = 8;
  double b = 1;
  int64_t steps_per_stage = 25000;
  int64_t first_stage = 0;
  // In fp32 there must be something between t and r.
  double ratio_limit = 0.999999;
  EctWeighting weighting = EctWeighting::gap;
  double huber_c = 0;
};

template <class Visitor>
void fields(Visitor& visit, EctPairOptions& o) {
  visit("q", o.q, "every stage divides the gap t − r by it", above(1));
  visit("k", o.k, "how much wider the gap is at small t: (1 + k sigmoid(−b t)) times", at_least(0));
  visit("b", o.b, "how fast that widening falls with t", at_least(0));
  visit("steps_per_stage", o.steps_per_stage, "steps between two stages (the paper: 25,000 of 128 images)",
        within(1, kMostSteps));
  visit("first_stage", o.first_stage, "the stage of the first step, counted from 0", within(0, kMostSteps));
  visit("ratio_limit", o.ratio_limit, "stages close the gap no further than to r/t = ratio_limit at large t",
        from_below(0, 1));
  visit("weighting", o.weighting, "weight of a pair: gap, 1/(t − r); karras, 1/t² + 1/σ_d²");
  visit("huber_c", o.huber_c, "c of √(‖Δ‖² + c²) − c, ‖·‖² the sum; 0: ‖Δ‖ itself", at_least(0));
}

struct EctOptions {
  static constexpr MethodName name{
      "ect", "cm-train-ct",
      "easy consistency tuning of a diffusion model, which init.checkpoint names (ECT)"};
  double p_mean = -1.1;
  double p_std = 2.0;
  EctPairOptions pairs;
};

template <class Visitor>
void fields(Visitor& visit, EctOptions& o) {
  visit("p_mean", o.p_mean, "mean of ln t");
  visit("p_std", o.p_std, "standard deviation of ln t", above(0));
  fields(visit, o.pairs);
}

// loss = (√(‖D(x_t, t) − sg D(x_r, r)‖² + c²) − c) · weight with EDM's scalings, whatever the student's
// parameterization: D(x, 0) = x without a boundary at ε. The two share noise and dropout mask; x where r = 0.
Objective objective_of(const EctOptions& options, const Binding& binding);

Method method_of(const EctOptions& options, int64_t total_steps);

}  // namespace cm
