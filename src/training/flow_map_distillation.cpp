#include "cm/training/flow_map_distillation.h"

#include "cm/training/guided_model.h"
#include "flow_map_draws.h"
#include "flow_map_losses.h"

namespace cm {
namespace {

Method distillation() {
  return {.needs_teacher = true,
          .parameterizations = {Parameterization::linear_map, Parameterization::trig_map},
          .derivative = Derivative::tangent};
}

using VelocityOf = std::function<VelocityField(const Tensor& labels)>;

// The teacher's, guided; where z is hardly noise, as at the smallest level, which the division needs.
VelocityOf teacher_velocity(const Binding& binding) {
  const Path path = binding.student.path();
  const double smallest =
      path.time(torch::tensor(binding.student.options().sigma.min, torch::kFloat64)).item<double>();
  return [=](const Tensor& labels) -> VelocityField {
    return [path, smallest, teacher = guided_denoiser(*binding.teacher, labels, binding.guidance)](
               const Tensor& z, const Tensor& t) { return path.velocity(teacher, z, t.clamp_min(smallest)); };
  };
}

}  // namespace

Method method_of(const EulerianOptions&, int64_t) {
  return distillation();
}

Objective objective_of(const EulerianOptions& options, const Binding& binding) {
  const Path path = binding.student.path();
  const VelocityOf velocity_of = teacher_velocity(binding);
  const auto losses = [=](const TrainingBatch& batch, const FlowMapDraws& draws) {
    const MeanVelocity u = binding.student.mean_velocity(batch.labels, draws.dropout_keys);
    PathPoint at = draws.at;
    at.velocity = no_grad([&] { return velocity_of(batch.labels)(at.z, at.t); });
    return eulerian_loss(path, u, at, draws.s, options.norm);
  };
  return flow_map_objective(options.interval, path, binding.seed, losses);
}

Method method_of(const LagrangianOptions&, int64_t) {
  return distillation();
}

Objective objective_of(const LagrangianOptions& options, const Binding& binding) {
  const Path path = binding.student.path();
  const VelocityOf velocity_of = teacher_velocity(binding);
  const auto losses = [=](const TrainingBatch& batch, const FlowMapDraws& draws) {
    const MeanVelocity u = binding.student.mean_velocity(batch.labels, draws.dropout_keys);
    return lagrangian_loss(path, u, velocity_of(batch.labels), draws.at, draws.s, options.norm);
  };
  return flow_map_objective(options.interval, path, binding.seed, losses);
}

}  // namespace cm
