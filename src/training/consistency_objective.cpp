#include "consistency_objective.h"

#include "draws.h"

namespace cm {

Method consistency_method(const DistanceChoice& distance, int64_t last_levels) {
  return {.parameterizations = {Parameterization::skip, Parameterization::piecewise},
          .distance = distance,
          .last_levels = last_levels};
}

Objective consistency_objective(const Binding& binding, const Model& target, const ConsistencyParts& parts,
                                std::function<CurriculumPoint(int64_t)> curriculum) {
  const uint64_t seed = binding.seed;
  const auto draw = [seed, parts](const TrainingBatch& batch) {
    const HostPairs pairs = parts.draw_pairs(batch.step, batch.samples);
    return draws_of(seed, batch, {pairs.t, pairs.r});
  };
  const auto losses = [&student = binding.student, &target, parts, distance = binding.distance](
                          const TrainingBatch& batch, const Draws& draws) {
    const SigmaPair pair{draws.levels[0], draws.levels[1]};
    const Tensor& keys = draws.dropout_keys;  // one mask for student and target
    return consistency_loss(student.denoiser(batch.labels, keys), target.denoiser(batch.labels, keys),
                            parts.previous(batch.labels), distance, batch.x, draws.noise, pair,
                            parts.weight(pair));
  };
  const auto sigmas = [parts](int64_t step, const std::vector<int64_t>& samples) {
    return parts.draw_pairs(step, samples).t;
  };
  Objective objective = drawn_objective(draw, losses, sigmas);
  objective.curriculum = std::move(curriculum);
  return objective;
}

std::function<Tensor(const SigmaPair& pair)> weight_at_larger_level(Weighting weighting,
                                                                    const Model& student) {
  const double sigma_data = student.options().sigma.data;
  return [weighting, sigma_data](const SigmaPair& pair) { return weight(weighting, pair.t, sigma_data); };
}

}  // namespace cm
