#include "cm/training/ict_objective.h"

#include "consistency_objective.h"
#include "draws.h"

namespace cm {

Objective ict_objective(const IctOptions& options, const DistanceFunction& distance, const Model& student,
                        int64_t total_steps, uint64_t seed) {
  const SigmaOptions sigma = student.options().sigma;
  ConsistencyParts parts;
  parts.draw_pairs = [options, sigma, total_steps, seed](int64_t step, const std::vector<int64_t>& samples) {
    const auto grid = karras_sigmas(sigma, noise_levels(options.levels, step, total_steps));
    return lognormal_pairs(grid, options.p_mean, options.p_std, draw_uniform(seed, step, samples));
  };
  parts.weight = [](const SigmaPair& pair) { return (pair.t - pair.r).reciprocal(); };
  parts.previous = [](const Tensor&) { return data_step(); };
  parts.distance = distance;
  return consistency_objective(student, student, seed, parts, [options, total_steps](int64_t step) {
    return CurriculumPoint{noise_levels(options.levels, step, total_steps), std::nullopt};
  });
}

}  // namespace cm
