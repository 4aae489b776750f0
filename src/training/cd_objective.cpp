#include "cm/training/cd_objective.h"

#include "cm/training/guided_model.h"
#include "consistency_objective.h"
#include "draws.h"

namespace cm {

Method method_of(const CdOptions& options, int64_t) {
  Method method = consistency_method({.kind = options.distance}, options.n);
  method.needs_teacher = true;
  method.has_target = true;
  return method;
}

Objective objective_of(const CdOptions& options, const Binding& binding) {
  const auto grid = karras_sigmas(binding.student.options().sigma, options.n);
  ConsistencyParts parts;
  parts.draw_pairs = [grid, seed = binding.seed](int64_t step, const std::vector<int64_t>& samples) {
    return uniform_pairs(grid, draw_uniform(seed, step, samples));
  };
  parts.weight = weight_at_larger_level(options.weighting, binding.student);
  parts.previous = [options, &teacher = *binding.teacher, guidance = binding.guidance](const Tensor& labels) {
    return teacher_step(options.solver, guided_denoiser(teacher, labels, guidance));
  };
  return consistency_objective(binding, *binding.target, parts, [options](int64_t) {
    return CurriculumPoint{options.n, options.mu};
  });
}

}  // namespace cm
