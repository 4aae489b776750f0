#include "cm/training/ect_objective.h"

#include <algorithm>
#include <cmath>

#include "cm/diffusion/weighting.h"
#include "draws.h"
#include "ect_pairs.h"

namespace cm {

Tensor ect_previous_level(const EctPairOptions& options, const Tensor& t, int64_t step) {
  const auto stage = static_cast<double>(options.first_stage + step / options.steps_per_stage);
  const double gap = std::max(std::pow(options.q, -(stage + 1)), 1 - options.ratio_limit);
  const Tensor widening = 1 + options.k * torch::sigmoid(-options.b * t);
  return (t * (1 - gap * widening)).clamp_min(0);
}

Tensor ect_weight(const EctPairOptions& options, const SigmaPair& pair, double sigma_data) {
  switch (options.weighting) {
    case EctWeighting::gap:
      return (pair.t - pair.r).reciprocal();
    case EctWeighting::karras:
      return weight(Weighting::karras, pair.t, sigma_data);
  }
  TORCH_INTERNAL_ASSERT(false, "not a weighting");
}

DistanceFunction ect_distance(const EctPairOptions& options) {
  return [c = options.huber_c](const Tensor& a, const Tensor& b) { return huber_norm(a - b, c); };
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
  const double sigma_data = student.options().sigma.data;
  const auto draw = [pairs = options.pairs, seed, levels, sigma_data](const TrainingBatch& batch) {
    const Tensor t = levels(batch.step, batch.samples);
    const Tensor r = ect_previous_level(pairs, t, batch.step);
    return draws_of(seed, batch, {t, r, ect_weight(pairs, {t, r}, sigma_data)});
  };
  const auto losses = [&student, distance = ect_distance(options.pairs)](const TrainingBatch& batch,
                                                                         const Draws& draws) {
    const SigmaPair pair{draws.levels[0], draws.levels[1]};
    const Tensor& weight = draws.levels[2];
    const Denoiser denoiser = student.denoiser_as(Parameterization::edm, batch.labels, draws.dropout_keys);
    return consistency_loss(denoiser, identity_at_zero(denoiser), data_step(), distance, batch.x, draws.noise,
                            pair, weight);
  };
  return drawn_objective(draw, losses, levels);
}

}  // namespace cm
