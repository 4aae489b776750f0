#include "cm/training/scm_objective.h"

#include "adaptive_weighting.h"
#include "cm/diffusion/trigflow.h"
#include "cm/training/guided_model.h"
#include "draws.h"
#include "scm_loss.h"

namespace cm {
namespace {

// dx_t/dt at a point of the path from x₀ to z.
using Velocity =
    std::function<Tensor(const TrainingBatch& batch, const Tensor& z, const Tensor& x_t, const Tensor& t)>;

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
  const double sigma_data = student.options().sigma.data;
  const auto draw = [options, sigma_data, seed, sigmas](const TrainingBatch& batch) {
    const Tensor sigma = sigmas(batch.step, batch.samples);
    const Tensor r = torch::full_like(sigma, tangent_warmup(options, batch.step));
    return draws_of(seed, batch, {sigma, trig_time(sigma, sigma_data), r});
  };
  const auto losses = [=, c = options.tangent_c, &student](const TrainingBatch& batch, const Draws& draws) {
    const Tensor& sigma = draws.levels[0];
    const Tensor& t = draws.levels[1];
    const Tensor& r = draws.levels[2];
    const Tensor z = sigma_data * draws.noise;
    const Tensor x_t = per_sample(t.cos(), z) * batch.x + per_sample(t.sin(), z) * z;
    // The same dropout mask for F and for the tangent.
    const RawNetwork network = student.raw_network(batch.labels, dropout_key(seed, batch));
    const TrigPoint point{x_t, t, no_grad([&] { return velocity(batch, z, x_t, t); })};
    const Tensor g = scm_tangent(network, point, r, sigma_data);
    return scm_loss(network(x_t / sigma_data, t), normalized_tangent(g, c), weighting->forward(sigma));
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
  const Velocity of_data = [](const TrainingBatch& batch, const Tensor& z, const Tensor& /*x_t*/,
                              const Tensor& t) {
    return per_sample(t.cos(), z) * z - per_sample(t.sin(), z) * batch.x;
  };
  return scm_objective(options, binding, of_data);
}

Method method_of(const ScdOptions&, int64_t) {
  return scm_method(/*needs_teacher=*/true);
}

Objective objective_of(const ScdOptions& options, const Binding& binding) {
  const double sigma_data = binding.student.options().sigma.data;
  const Velocity of_teacher = [&teacher = *binding.teacher, guidance = binding.guidance, sigma_data](
                                  const TrainingBatch& batch, const Tensor& /*z*/, const Tensor& x_t,
                                  const Tensor& t) {
    return trig_velocity(guided_denoiser(teacher, batch.labels, guidance), x_t, t, sigma_data);
  };
  return scm_objective(options, binding, of_teacher);
}

}  // namespace cm
