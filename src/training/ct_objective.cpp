#include "cm/training/ct_objective.h"

#include "consistency_objective.h"
#include "draws.h"

namespace cm {

Method method_of(const CtOptions& options, int64_t total_steps) {
  Method method = consistency_method({.kind = options.distance},
                                     noise_levels(options.levels, total_steps - 1, total_steps));
  method.has_target = true;
  return method;
}

Objective objective_of(const CtOptions& options, const Binding& binding) {
  const SigmaOptions sigma = binding.student.options().sigma;
  const int64_t total_steps = binding.total_steps;
  ConsistencyParts parts;
  parts.draw_pairs = [options, sigma, total_steps, seed = binding.seed](int64_t step,
                                                                        const std::vector<int64_t>& samples) {
    const auto grid = karras_sigmas(sigma, noise_levels(options.levels, step, total_steps));
    return uniform_pairs(grid, draw_uniform(seed, step, samples));
  };
  parts.weight = weight_at_larger_level(options.weighting, binding.student);
  parts.previous = [](const Tensor&) { return data_step(); };
  return consistency_objective(binding, *binding.target, parts, [options, total_steps](int64_t step) {
    const int64_t levels = noise_levels(options.levels, step, total_steps);
    return CurriculumPoint{levels, target_decay(options.target, options.levels.s0, levels)};
  });
}

}  // namespace cm
