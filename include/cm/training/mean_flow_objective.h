// MeanFlow (Geng et al., arXiv 2505.13447): a flow map from data alone, by the identity that ties its mean
// velocity to the velocity of the data's flow.
#pragma once

#include "cm/base/limits.h"
#include "cm/training/flow_map_options.h"
#include "cm/training/method.h"

namespace cm {

// Guidance that the target has and the student learns (Eq. 19 and 21): for t from t_min to t_max the velocity
//
//   ω v + κ u(z, t, t | class) + (1 − ω − κ) u(z, t, t)
//
// in v's place, which leads by ω/(1 − κ). Samples whose class is hidden keep v.
struct TargetGuidance {
  double omega = 1;
  double kappa = 0;
  double t_min = 0;
  double t_max = 1;

  bool guides() const { return omega != 1 || kappa != 0; }
  double weight() const { return omega / (1 - kappa); }
};

template <class Visitor>
void fields(Visitor& visit, TargetGuidance& o) {
  visit("omega", o.omega, "share ω of the data's velocity; with kappa, guidance of weight ω/(1 − κ)",
        at_least(0));
  visit("kappa", o.kappa, "share κ of the network's own velocity for the class", from_below(0, 1));
  visit("t_min", o.t_min, "smallest time with guidance", Range{.min = 0, .max = 2});
  visit("t_max", o.t_max, "largest time with guidance", Range{.min = 0, .max = 2});
}

struct MeanFlowOptions : FlowMapOptions {
  static constexpr MethodName name{"mean_flow", "cm-train-ct", "flow maps from data (MeanFlow)"};
  TargetGuidance guidance = {};
};

template <class Visitor>
void fields(Visitor& visit, MeanFlowOptions& o) {
  fields(visit, static_cast<FlowMapOptions&>(o));
  visit("guidance", o.guidance, "guidance in the target; it needs train.label_dropout");
}

Method method_of(const MeanFlowOptions& options, int64_t total_steps);
Objective objective_of(const MeanFlowOptions& options, const Binding& binding);

}  // namespace cm
