#include "cm/training/edm_objective.h"

#include "adaptive_weighting.h"
#include "cm/diffusion/path.h"
#include "cm/training/losses.h"
#include "draws.h"

namespace cm {
namespace {

// Of uniform times, and as far from 1: at the ends themselves the velocity has no weight that is a number.
constexpr double kSmallestTime = 1e-5;

}  // namespace

Method method_of(const EdmOptions&, int64_t) {
  return {.parameterizations = {Parameterization::edm, Parameterization::trig_diffusion,
                                Parameterization::linear_diffusion, Parameterization::vp_diffusion}};
}

Objective objective_of(const EdmOptions& options, const Binding& binding) {
  const Model& student = binding.student;
  const uint64_t seed = binding.seed;
  const auto sigmas = [options, seed](int64_t step, const std::vector<int64_t>& samples) {
    if (options.levels == LevelDistribution::log_normal)
      return draw_lognormal({options.p_mean, options.p_std}, seed, step, samples);
    const Tensor t = kSmallestTime + (1 - 2 * kSmallestTime) * draw_uniform(seed, step, samples);
    return Path{PathKind::linear}.level(t);
  };
  const auto draw = [seed, sigmas](const TrainingBatch& batch) {
    return draws_of(seed, batch, {sigmas(batch.step, batch.samples)});
  };
  LossUncertainty uncertainty = nullptr;
  if (options.uncertainty) {
    uncertainty = LossUncertainty(seed);
    uncertainty->to(student.device());
  }
  const auto losses = [=, &student](const TrainingBatch& batch, const Draws& draws) {
    const Tensor& sigma = draws.levels[0];
    const Denoiser denoiser = student.denoiser(batch.labels, draws.dropout_keys);
    const Tensor loss = denoising_loss(denoiser, batch.x, draws.noise, sigma,
                                       weight(options.weighting, sigma, student.options().sigma.data));
    if (uncertainty.is_empty()) return loss;
    const Tensor u = uncertainty->forward(sigma);
    return loss * (-u).exp() + u;
  };
  Objective objective = drawn_objective(draw, losses, sigmas);
  if (!uncertainty.is_empty()) objective.learned = uncertainty.ptr();
  return objective;
}

}  // namespace cm
