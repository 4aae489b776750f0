#include "cm/training/mean_flow_objective.h"

#include "flow_map_draws.h"
#include "flow_map_losses.h"
#include "target_guidance.h"

namespace cm {

Method method_of(const MeanFlowOptions& options, int64_t) {
  Method method{.parameterizations = {Parameterization::linear_map, Parameterization::trig_map},
                .derivative = Derivative::tangent};
  if (options.guidance.guides()) method.target_guidance = options.guidance.weight();
  return method;
}

Objective objective_of(const MeanFlowOptions& options, const Binding& binding) {
  const Model& student = binding.student;
  const Path path = student.path();
  const uint64_t seed = binding.seed;
  const auto losses = [=, &student](const TrainingBatch& batch, const FlowMapDraws& draws) {
    const PathPoint at = guided_point(options.guidance, student, draws.at, batch.labels);
    const MeanVelocity u = student.mean_velocity(batch.labels, draws.dropout_keys);
    return eulerian_loss(path, u, at, draws.s, options.norm);
  };
  return flow_map_objective(options.interval, path, seed, losses);
}

}  // namespace cm
