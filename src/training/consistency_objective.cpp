#include "consistency_objective.h"

#include "draws.h"

namespace cm {

Objective consistency_objective(const Model& student, const Model& target, uint64_t seed,
                                const ConsistencyParts& parts,
                                std::function<CurriculumPoint(int64_t)> curriculum) {
  const auto draw = [seed, parts](const TrainingBatch& batch) {
    const HostPairs pairs = parts.draw_pairs(batch.step, batch.samples);
    return draws_of(seed, batch, {pairs.t, pairs.r});
  };
  const auto losses = [&student, &target, seed, parts](const TrainingBatch& batch, const Draws& draws) {
    const SigmaPair pair{draws.levels[0], draws.levels[1]};
    const DropoutKey mask = dropout_key(seed, batch);  // one mask for student and target
    return consistency_loss(student.denoiser(batch.labels, mask), target.denoiser(batch.labels, mask),
                            parts.previous(batch.labels), parts.distance, batch.x, draws.noise, pair,
                            parts.weight(pair));
  };
  const auto sigmas = [parts](int64_t step, const std::vector<int64_t>& samples) {
    return parts.draw_pairs(step, samples).t;
  };
  return {losses_by(draw, losses), draw, sigmas, std::move(curriculum)};
}

std::function<Tensor(const SigmaPair& pair)> weight_at_larger_level(Weighting weighting,
                                                                    const Model& student) {
  const double sigma_data = student.options().sigma.data;
  return [weighting, sigma_data](const SigmaPair& pair) { return weight(weighting, pair.t, sigma_data); };
}

}  // namespace cm
