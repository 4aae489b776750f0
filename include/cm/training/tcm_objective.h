// Truncated consistency models (TCM; Lee et al., arXiv 2410.14895), the second of two stages: a consistency
// function, which init.checkpoint names, is kept for the noise levels below t′, and its weights are tuned for
// those from t′ on alone.
#pragma once

#include "cm/training/ect_objective.h"

namespace cm {

struct TcmOptions {
  static constexpr MethodName name{
      "tcm", "cm-train-ct",
      "second stage of a truncated consistency model: tunes the consistency model that init.checkpoint names "
      "at noise levels from transition on (TCM)"};
  double transition = 1;
  double degrees = 0.01;
  double p_mean = 0;
  double p_std = 0.2;
  double boundary_share = 0.25;
  double boundary_weight = 0.1;
  // As the stages of the first run left them; on ImageNet 64 × 64, ratio_limit = 0.9961.
  EctPairOptions pairs{.first_stage = 9, .ratio_limit = 0.999};
};

template <class Visitor>
void fields(Visitor& visit, TcmOptions& o) {
  visit("transition", o.transition,
        "t′: below it the model is the frozen one that init.checkpoint names, from it on the student",
        above(0));
  visit("degrees", o.degrees,
        "degrees of freedom of Student's t, by which ln t is drawn in [ln t′, ln σ_max]",
        Range{.min = 0, .max = 1000, .open_min = true});
  visit("p_mean", o.p_mean, "its centre, before it is cut to that interval");
  visit("p_std", o.p_std, "its scale", above(0));
  visit("boundary_share", o.boundary_share,
        "share of the batch at t = t′, where the student meets the frozen model", from_below(0, 1));
  visit("boundary_weight", o.boundary_weight, "weight of the mean loss of that part beside the others'",
        at_least(0));
  fields(visit, o.pairs);
}

// loss = mean over the others + boundary_weight · mean over the boundary part, both of
//
//   (√(‖f(x_t, t) − sg f(x_r, r)‖² + c²) − c) · weight,   f = the start below t′, the student from t′ on
//
// with ECT's pairs and scalings. One dropout mask in all of a sample's evaluations. The student is never
// asked below t′, so its samples' second step should not go there either.
Objective objective_of(const TcmOptions& options, const Binding& binding);

Method method_of(const TcmOptions& options, int64_t total_steps);

}  // namespace cm
