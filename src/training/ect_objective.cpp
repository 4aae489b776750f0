#include "cm/training/ect_objective.h"

#include <cmath>

#include "cm/training/losses.h"
#include "draws.h"

namespace cm {

Tensor ect_previous_level(const EctOptions& options, const Tensor& t, int64_t step) {
  const auto stage = static_cast<double>(step / options.steps_per_stage);
  const Tensor widening = 1 + options.k * torch::sigmoid(-options.b * t);
  return (t * (1 - std::pow(options.q, -(stage + 1)) * widening)).clamp_min(0);
}

// Skip: its scalings at sampling, with ε at sigma.min; in training those of ε = 0.
Method method_of(const EctOptions&, int64_t) {
  return {.needs_init = true, .parameterizations = {Parameterization::skip}};
}

Objective objective_of(const EctOptions& options, const Binding& binding) {
  const Model& student = binding.student;
  const uint64_t seed = binding.seed;
  const auto levels = [options, seed](int64_t step, const std::vector<int64_t>& samples) {
    return draw_lognormal({options.p_mean, options.p_std}, seed, step, samples);
  };
  const DistanceFunction distance = [c = options.huber_c](const Tensor& a, const Tensor& b) {
    return huber_norm(a - b, c);
  };
  const auto draw = [options, seed, levels](const TrainingBatch& batch) {
    const Tensor t = levels(batch.step, batch.samples);
    const Tensor r = ect_previous_level(options, t, batch.step);
    return draws_of(seed, batch, {t, r, (t - r).reciprocal()});
  };
  const auto losses = [&student, seed, distance](const TrainingBatch& batch, const Draws& draws) {
    const SigmaPair pair{draws.levels[0], draws.levels[1]};
    const Tensor& weight = draws.levels[2];
    const Denoiser denoiser =
        student.denoiser_as(Parameterization::edm, batch.labels, dropout_key(seed, batch));
    return consistency_loss(denoiser, identity_at_zero(denoiser), data_step(), distance, batch.x, draws.noise,
                            pair, weight);
  };
  return drawn_objective(draw, losses, levels);
}

}  // namespace cm
