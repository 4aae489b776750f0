#include "cm/training/scm_objective.h"

#include "adaptive_weighting.h"
#include "cm/diffusion/path.h"
#include "cm/training/guided_model.h"
#include "draws.h"
#include "scm_loss.h"

namespace cm {
namespace {

// dx_t/dt at a point, whose own is the data's.
using Velocity = std::function<Tensor(const TrainingBatch& batch, const PathPoint& on_data)>;

// r = min(1, k/H)
double tangent_warmup(const ScmOptions& options, int64_t step) {
  if (step >= options.tangent_warmup_steps) return 1;
  return static_cast<double>(step) / static_cast<double>(options.tangent_warmup_steps);
}

// No distance and no grid.
Method scm_method(bool needs_teacher) {
  return {.needs_teacher = needs_teacher,
          .parameterizations = {Parameterization::trig},
          .derivative = Derivative::tangent};
}

Objective scm_objective(const ScmOptions& options, const Binding& binding, const Velocity& velocity) {
  const Model& student = binding.student;
  const uint64_t seed = binding.seed;
  AdaptiveWeighting weighting(seed);
  weighting->to(student.device());
  const auto sigmas = [options, seed](int64_t step, const std::vector<int64_t>& samples) {
    return draw_lognormal({options.p_mean, options.p_std}, seed, step, samples);
  };
  const Path path = student.path();
  const auto draw = [options, path, seed, sigmas](const TrainingBatch& batch) {
    const Tensor sigma = sigmas(batch.step, batch.samples);
    const Tensor r = torch::full_like(sigma, tangent_warmup(options, batch.step));
    return draws_of(seed, batch, {sigma, path.time(sigma), r});
  };
  const auto losses = [=, c = options.tangent_c, &student](const TrainingBatch& batch, const Draws& draws) {
    const Tensor& sigma = draws.levels[0];
    const Tensor& t = draws.levels[1];
    const Tensor& r = draws.levels[2];
    const PathPoint on_data = path.between(batch.x, draws.noise, t);
    const RawNetwork network = student.raw_network(batch.labels, draws.dropout_keys);
    const PathPoint point{on_data.z, t, no_grad([&] { return velocity(batch, on_data); })};
    const auto [output, g] = scm_tangent(network, point, r, path.sigma_data);
    return scm_loss(output, normalized_tangent(g, c), weighting->forward(sigma));
  };
  Objective objective = drawn_objective(draw, losses, sigmas);
  objective.learned = weighting.ptr();
  return objective;
}

}  // namespace

Method method_of(const SctOptions&, int64_t) {
  return scm_method(/*needs_teacher=*/false);
}

Objective objective_of(const SctOptions& options, const Binding& binding) {
  const Velocity of_data = [](const TrainingBatch&, const PathPoint& on_data) { return on_data.velocity; };
  return scm_objective(options, binding, of_data);
}

Method method_of(const ScdOptions&, int64_t) {
  return scm_method(/*needs_teacher=*/true);
}

Objective objective_of(const ScdOptions& options, const Binding& binding) {
  const Velocity of_teacher = [&teacher = *binding.teacher, guidance = binding.guidance,
                               path = binding.student.path()](const TrainingBatch& batch,
                                                              const PathPoint& on_data) {
    return path.velocity(guided_denoiser(teacher, batch.labels, guidance), on_data.z, on_data.t);
  };
  return scm_objective(options, binding, of_teacher);
}

}  // namespace cm
