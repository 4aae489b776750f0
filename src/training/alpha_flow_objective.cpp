#include "cm/training/alpha_flow_objective.h"

#include <cmath>

#include "cm/base/text.h"
#include "flow_map_draws.h"
#include "flow_map_losses.h"
#include "target_guidance.h"

namespace cm {

void validate(const AlphaSchedule& options, const Complain& complain) {
  if (options.end > options.start) return;
  complain("end", concat("must be above start, ", options.start, ", got ", options.end));
}

double alpha_at(const AlphaSchedule& schedule, int64_t step, int64_t total_steps) {
  const double done = static_cast<double>(step) / static_cast<double>(total_steps);
  const double middle = (schedule.start + schedule.end) / 2;
  const double place = schedule.sharpness * (done - middle) / (schedule.end - schedule.start);
  const double alpha = 1 / (1 + std::exp(place));
  if (alpha > 1 - schedule.clamp) return 1;
  return alpha < schedule.clamp ? 0 : alpha;
}

Method method_of(const AlphaFlowOptions& options, int64_t total_steps) {
  Method method = method_of(static_cast<const MeanFlowOptions&>(options), total_steps);
  method.parameterizations = {Parameterization::linear_map};
  return method;
}

Objective objective_of(const AlphaFlowOptions& options, const Binding& binding) {
  const Model& student = binding.student;
  const Path path = student.path();
  const uint64_t seed = binding.seed;
  const auto alpha = [schedule = options.alpha, steps = binding.total_steps](int64_t step) {
    return alpha_at(schedule, step, steps);
  };
  const auto losses = [=, &student](const TrainingBatch& batch, const FlowMapDraws& draws) {
    const PathPoint at = guided_point(options.guidance, student, draws.at, batch.labels);
    const MeanVelocity u = student.mean_velocity(batch.labels, draws.dropout_keys);
    if (alpha(batch.step) == 0) return eulerian_loss(path, u, at, draws.s, options.norm);
    // Where s = t there is nothing to step over: the velocity itself is the target.
    const Tensor share = torch::where(draws.s == at.t, torch::ones_like(at.t), draws.extra[0]);
    return alpha_flow_loss(u, at, draws.s, share, options.norm);
  };
  Objective objective =
      flow_map_objective(options.interval, path, seed, losses, [alpha](const TrainingBatch& batch) {
        const auto count = static_cast<int64_t>(batch.samples.size());
        return std::vector{torch::full({count}, alpha(batch.step), torch::kFloat64)};
      });
  objective.form = [alpha](int64_t step) { return alpha(step) == 0 ? 1 : 0; };
  return objective;
}

}  // namespace cm
