#include "cm/training/ict_objective.h"

#include "consistency_objective.h"
#include "draws.h"

namespace cm {

Method method_of(const IctOptions& options, int64_t total_steps) {
  return consistency_method({.kind = options.distance, .huber_c = options.huber_c},
                            noise_levels(options.levels, total_steps - 1, total_steps));
}

Objective objective_of(const IctOptions& options, const Binding& binding) {
  const SigmaOptions sigma = binding.student.options().sigma;
  const int64_t total_steps = binding.total_steps;
  ConsistencyParts parts;
  parts.draw_pairs = [options, sigma, total_steps, seed = binding.seed](int64_t step,
                                                                        const std::vector<int64_t>& samples) {
    const auto grid = karras_sigmas(sigma, noise_levels(options.levels, step, total_steps));
    return lognormal_pairs(grid, options.p_mean, options.p_std, draw_uniform(seed, step, samples));
  };
  parts.weight = [](const SigmaPair& pair) { return (pair.t - pair.r).reciprocal(); };
  parts.previous = [](const Tensor&) { return data_step(); };
  return consistency_objective(binding, binding.student, parts, [options, total_steps](int64_t step) {
    return CurriculumPoint{noise_levels(options.levels, step, total_steps), std::nullopt};
  });
}

}  // namespace cm
