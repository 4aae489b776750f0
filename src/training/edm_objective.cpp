#include "cm/training/edm_objective.h"

#include "cm/training/losses.h"
#include "draws.h"

namespace cm {

Objective edm_objective(const EdmOptions& options, const Model& student, uint64_t seed) {
  const auto sigmas = [options, seed](int64_t step, const std::vector<int64_t>& samples) {
    return draw_lognormal({options.p_mean, options.p_std}, seed, step, samples);
  };
  const auto draw = [seed, sigmas](const TrainingBatch& batch) {
    return draws_of(seed, batch, {sigmas(batch.step, batch.samples)});
  };
  const auto losses = [options, &student, seed](const TrainingBatch& batch, const Draws& draws) {
    const Tensor& sigma = draws.levels[0];
    const Denoiser denoiser = student.denoiser(batch.labels, dropout_key(seed, batch));
    return denoising_loss(denoiser, batch.x, draws.noise, sigma,
                          weight(options.weighting, sigma, student.options().sigma.data));
  };
  return {losses_by(draw, losses), draw, sigmas, [](int64_t) { return CurriculumPoint{}; }};
}

}  // namespace cm
