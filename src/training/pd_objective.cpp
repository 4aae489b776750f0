#include "cm/training/pd_objective.h"

#include <bit>

#include "cm/base/text.h"
#include "cm/training/guided_model.h"
#include "draws.h"
#include "level_pairs.h"

namespace cm {
void validate(const PdOptions& options, const Complain& complain) {
  if (!std::has_single_bit(static_cast<uint64_t>(options.start_steps))) {
    complain("start_steps",
             concat("must be a power of two, because each stage halves it, got ", options.start_steps));
  }
}

Stage pd_stage(const PdOptions& options, int64_t step, int64_t total_steps) {
  Stage stage{.first = 0, .length = options.steps_per_stage, .sampler_steps = options.start_steps};
  for (; stage.sampler_steps > 1; stage.sampler_steps /= 2) {
    if (stage.sampler_steps == 2) stage.length = options.steps_two.value_or(2 * options.steps_per_stage);
    if (step < stage.first + stage.length) return stage;
    stage.first += stage.length;
  }
  stage.length = std::max<int64_t>(1, total_steps - stage.first);
  return stage;
}

Method method_of(const PdOptions& options, int64_t) {
  return {.needs_teacher = true,
          .has_stages = true,
          .parameterizations = {Parameterization::edm},
          .distance = DistanceChoice{.kind = options.distance},
          .teacher_steps = 2 * options.start_steps};
}

Objective objective_of(const PdOptions& options, const Binding& binding) {
  const uint64_t seed = binding.seed;
  const auto stage = [options, total_steps = binding.total_steps](int64_t step) {
    return pd_stage(options, step, total_steps);
  };
  const SigmaOptions sigma = binding.student.options().sigma;
  const auto draw_steps = [stage, sigma, seed](int64_t step, const std::vector<int64_t>& samples) {
    return uniform_halved_steps(sigma, stage(step).sampler_steps, draw_uniform(seed, step, samples));
  };
  const auto draw = [draw_steps, seed](const TrainingBatch& batch) {
    const HostHalvedSteps steps = draw_steps(batch.step, batch.samples);
    return draws_of(seed, batch, {steps.t, steps.mid, steps.end});
  };
  const auto losses = [=, &student = binding.student, &teacher = *binding.teacher,
                       distance = binding.distance, guidance = binding.guidance,
                       weighting = options.weighting](const TrainingBatch& batch, const Draws& draws) {
    const HalvedStep step{draws.levels[0], draws.levels[1], draws.levels[2]};
    const Guidance own = teacher.options().guidance ? Guidance{} : guidance;
    return progressive_loss(student.denoiser(batch.labels, draws.dropout_keys),
                            guided_denoiser(teacher, batch.labels, own), distance, batch.x, draws.noise, step,
                            weight(weighting, step.t, sigma.data));
  };
  Objective objective =
      drawn_objective(draw, losses, [draw_steps](int64_t step, const std::vector<int64_t>& samples) {
        return draw_steps(step, samples).t;
      });
  objective.curriculum = [stage](int64_t step) { return CurriculumPoint{stage(step).sampler_steps, {}}; };
  objective.stages = Stages{.at = stage, .teacher = binding.teacher};
  return objective;
}

}  // namespace cm
