// What the objectives of flow maps have in common: which intervals they draw, and how a sample's loss is
// weighed.
#pragma once

#include <optional>

#include "cm/base/fields.h"

namespace cm {

// What is done where the second draw, s, lies above the first, t.
enum class IntervalOrder {
  swap,  // the larger is t (MeanFlow, arXiv 2505.13447)
  cut,   // s becomes t (py-meanflow's later sampler, "v1")
};

// Noise levels of t and s, ln σ ~ N(mean, std²) each: on the linear path, times of logit-normal distribution.
struct IntervalOptions {
  double p_mean = -0.6;
  double p_std = 1.6;
  double p_mean_s = -4;
  double p_std_s = 1.6;
  double equal_share = 0.25;
  IntervalOrder order = IntervalOrder::cut;
};

template <class Visitor>
void fields(Visitor& visit, IntervalOptions& o) {
  visit("p_mean", o.p_mean, "mean of ln σ where the interval starts, t; on the linear path σ = t/(1 − t)");
  visit("p_std", o.p_std, "its standard deviation", above(0));
  visit("p_mean_s", o.p_mean_s, "mean of ln σ where it ends, s");
  visit("p_std_s", o.p_std_s, "its standard deviation", above(0));
  visit("equal_share", o.equal_share, "share of the samples with s = t, where the map is the flow itself",
        Range{.min = 0, .max = 1});
  visit("order", o.order, "where s is drawn above t: swap both, or cut s to t");
}

// L/sg(L + ε)^p of a squared error L, summed over the sample (MeanFlow Eq. 22): p = 0 is L itself.
struct AdaptiveNorm {
  double power = 0.75;
  double epsilon = 1e-3;
};

template <class Visitor>
void fields(Visitor& visit, AdaptiveNorm& o) {
  visit("norm_power", o.power, "p of the loss L/(L + ε)^p, L the squared error summed over a sample",
        Range{.min = 0, .max = 2});
  visit("norm_epsilon", o.epsilon, "its ε", above(0));
}

struct FlowMapOptions {
  IntervalOptions interval = {};
  AdaptiveNorm norm = {};
};

template <class Visitor>
void fields(Visitor& visit, FlowMapOptions& o) {
  fields(visit, o.interval);
  fields(visit, o.norm);
}

}  // namespace cm
