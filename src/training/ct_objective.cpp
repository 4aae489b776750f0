#include "cm/training/ct_objective.h"

#include "consistency_objective.h"
#include "draws.h"

namespace cm {

Objective ct_objective(const CtOptions& options, const DistanceFunction& distance, const Model& student,
                       const Model& target, int64_t total_steps, uint64_t seed) {
  const SigmaOptions sigma = student.options().sigma;
  ConsistencyParts parts;
  parts.draw_pairs = [options, sigma, total_steps, seed](int64_t step, const std::vector<int64_t>& samples) {
    const auto grid = karras_sigmas(sigma, noise_levels(options.levels, step, total_steps));
    return uniform_pairs(grid, draw_uniform(seed, step, samples));
  };
  parts.weight = weight_at_larger_level(options.weighting, student);
  parts.previous = [](const Tensor&) { return data_step(); };
  parts.distance = distance;
  return consistency_objective(student, target, seed, parts, [options, total_steps](int64_t step) {
    const int64_t levels = noise_levels(options.levels, step, total_steps);
    return CurriculumPoint{levels, target_decay(options.target, options.levels.s0, levels)};
  });
}

}  // namespace cm
