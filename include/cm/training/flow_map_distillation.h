// Distillation of a teacher's flow into its flow map (Boffi et al., arXiv 2406.07507 and 2505.18825), by
// either of the two equations that such a map solves.
#pragma once

#include "cm/training/flow_map_options.h"
#include "cm/training/method.h"

namespace cm {

// In the start of the map: MeanFlow's loss with the teacher's velocity for the data's.
struct EulerianOptions : FlowMapOptions {
  static constexpr MethodName name{"eulerian", "cm-train-cd",
                                   "flow map of a teacher by the Eulerian equation, in its start"};
};

Method method_of(const EulerianOptions& options, int64_t total_steps);
Objective objective_of(const EulerianOptions& options, const Binding& binding);

// In its end, where the teacher is asked.
struct LagrangianOptions : FlowMapOptions {
  static constexpr MethodName name{"lagrangian", "cm-train-cd",
                                   "flow map of a teacher by the Lagrangian equation, in its end"};
  // What is learned spreads from s = t down: both ends have one distribution.
  LagrangianOptions() {
    interval = {.p_mean = -0.6, .p_std = 1.6, .p_mean_s = -0.6, .p_std_s = 1.6, .order = IntervalOrder::swap};
  }
};

Method method_of(const LagrangianOptions& options, int64_t total_steps);
Objective objective_of(const LagrangianOptions& options, const Binding& binding);

}  // namespace cm
