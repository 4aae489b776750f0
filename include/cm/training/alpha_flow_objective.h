// α-Flow (Zhang et al., arXiv 2510.20771): MeanFlow reached from flow matching to the end of the interval, by
// steps along the trajectory that shrink as training goes on, without derivatives until the end.
#pragma once

#include "cm/training/mean_flow_objective.h"

namespace cm {

// α(k) = 1 − sigmoid(sharpness · (k/K − (start + end)/2)/(end − start)) of training step k of K; from 1 −
// clamp on it is 1, below clamp 0, where the loss is MeanFlow's.
struct AlphaSchedule {
  double start = 0;
  double end = 1;
  double sharpness = 25;
  double clamp = 0.005;
};

template <class Visitor>
void fields(Visitor& visit, AlphaSchedule& o) {
  const Range share{.min = 0, .max = 1};
  visit("start", o.start, "where α begins to fall from 1, as a share of train.steps", share);
  visit("end", o.end, "where it has fallen to 0", share);
  visit("sharpness", o.sharpness, "of the sigmoid between them", above(0));
  visit("clamp", o.clamp, "nearer than this to 1 or 0, α is 1 or 0", Range{.min = 0, .max = 0.5});
}

void validate(const AlphaSchedule& options, const Complain& complain);

double alpha_at(const AlphaSchedule& schedule, int64_t step, int64_t total_steps);

struct AlphaFlowOptions : MeanFlowOptions {
  static constexpr MethodName name{"alpha_flow", "cm-train-ct",
                                   "flow maps from data, from flow matching to MeanFlow (α-Flow)"};
  AlphaSchedule alpha = {};

  AlphaFlowOptions() { norm.power = 1; }
};

template <class Visitor>
void fields(Visitor& visit, AlphaFlowOptions& o) {
  fields(visit, static_cast<MeanFlowOptions&>(o));
  visit("alpha", o.alpha, "α(k)");
}

Method method_of(const AlphaFlowOptions& options, int64_t total_steps);
Objective objective_of(const AlphaFlowOptions& options, const Binding& binding);

}  // namespace cm
