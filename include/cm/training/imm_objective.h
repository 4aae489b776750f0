// Inductive moment matching (IMM; Zhou, Ermon & Song, arXiv 2503.07565): the samples that a flow map makes
// from time t are to be distributed as those that it makes from a little less, r.
#pragma once

#include "cm/base/limits.h"
#include "cm/training/level_distribution.h"
#include "cm/training/method.h"

namespace cm {

struct ImmOptions {
  static constexpr MethodName name{"imm", "cm-train-ct",
                                   "flow maps from data by inductive moment matching (IMM)"};
  double t_min = 0;
  double t_max = 0.994;
  LevelDistribution times = LevelDistribution::uniform;
  double p_mean = -1.1;
  double p_std = 2;
  double decrement = 12;
  int64_t group = 4;
  double weight_a = 1;
  double weight_b = 5;
};

template <class Visitor>
void fields(Visitor& visit, ImmOptions& o) {
  visit("t_min", o.t_min, "smallest time of the linear path", Range{.min = 0, .max = 1, .open_max = true});
  visit("t_max", o.t_max, "largest time t of the linear path",
        Range{.min = 0, .max = 1, .open_min = true, .open_max = true});
  visit("times", o.times, "how t in [t_min, t_max] and s in [t_min, t] are drawn, as levels η = t/(1 − t)");
  visit("p_mean", o.p_mean, "mean of ln η, for log_normal");
  visit("p_std", o.p_std, "its standard deviation", above(0));
  visit("decrement", o.decrement, "k of η_r = max(η_s, η_t − (η_max − η_min) 2^−k): how far r lies below t",
        within(1, 30));
  visit("group", o.group, "samples M that share their times and are compared with one another",
        within(2, 1024));
  visit("weight_a", o.weight_a,
        "a of the weight ½ sigmoid(b − λ_t) (−dλ_t/dt) α_t^a/(α_t² + σ_t²), λ the log of the "
        "signal-to-noise ratio");
  visit("weight_b", o.weight_b, "its b");
}

void validate(const ImmOptions& options, const Complain& complain);

// No distance and no target network: the student, held fixed, is its own.
Method method_of(const ImmOptions& options, int64_t total_steps);
Objective objective_of(const ImmOptions& options, const Binding& binding);

}  // namespace cm
