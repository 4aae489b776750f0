#include "cm/training/cd_objective.h"

#include "cm/training/guided_model.h"
#include "consistency_objective.h"
#include "draws.h"

namespace cm {

Objective cd_objective(const CdOptions& options, const DistanceFunction& distance, const Model& student,
                       const Model& target, const Model& teacher, uint64_t seed, double guidance) {
  const auto grid = karras_sigmas(student.options().sigma, options.n);
  ConsistencyParts parts;
  parts.draw_pairs = [grid, seed](int64_t step, const std::vector<int64_t>& samples) {
    return uniform_pairs(grid, draw_uniform(seed, step, samples));
  };
  parts.weight = weight_at_larger_level(options.weighting, student);
  parts.previous = [options, &teacher, guidance](const Tensor& labels) {
    return teacher_step(options.solver, guided_denoiser(teacher, labels, guidance));
  };
  parts.distance = distance;
  return consistency_objective(student, target, seed, parts, [options](int64_t) {
    return CurriculumPoint{options.n, options.mu};
  });
}

}  // namespace cm
