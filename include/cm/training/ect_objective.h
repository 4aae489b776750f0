// Easy consistency tuning (ECT; Geng et al., arXiv 2406.14548): a diffusion model's weights, tuned into a
// consistency function by pairs (t, r) that close up in stages, r → t.
#pragma once

#include "cm/base/limits.h"
#include "cm/training/method.h"

namespace cm {

struct EctOptions {
  static constexpr MethodName name{
      "ect", "cm-train-ct",
      "easy consistency tuning of a diffusion model, which init.checkpoint names (ECT)"};
  double p_mean = -1.1;
  double p_std = 2.0;
  double q = 2;
  double k = 8;
  double b = 1;
  int64_t steps_per_stage = 25000;
  double huber_c = 0;
};

template <class Visitor>
void fields(Visitor& visit, EctOptions& o) {
  visit("p_mean", o.p_mean, "mean of ln t");
  visit("p_std", o.p_std, "standard deviation of ln t", above(0));
  visit("q", o.q, "every stage divides the gap t − r by it", above(1));
  visit("k", o.k, "how much wider the gap is at small t: (1 + k sigmoid(−b t)) times", at_least(0));
  visit("b", o.b, "how fast that widening falls with t", at_least(0));
  visit("steps_per_stage", o.steps_per_stage, "steps between two stages (the paper: 25,000 of 128 images)",
        within(1, kMostSteps));
  visit("huber_c", o.huber_c, "c of √(‖Δ‖² + c²) − c, ‖·‖² the sum; 0: ‖Δ‖ itself", at_least(0));
}

// r(t) = max(0, t (1 − q^{−(stage + 1)} (1 + k sigmoid(−b t)))), stage = ⌊step/steps_per_stage⌋, of t float64
// [B].
Tensor ect_previous_level(const EctOptions& options, const Tensor& t, int64_t step);

// loss = (√(‖D(x_t, t) − sg D(x_r, r)‖² + c²) − c)/(t − r) with EDM's scalings, whatever the student's
// parameterization: D(x, 0) = x without a boundary at ε. The two share noise and dropout mask; x where r = 0.
Objective objective_of(const EctOptions& options, const Binding& binding);

Method method_of(const EctOptions& options, int64_t total_steps);

}  // namespace cm
