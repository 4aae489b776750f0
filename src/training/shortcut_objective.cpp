#include "cm/training/shortcut_objective.h"

#include <bit>

#include "cm/base/text.h"
#include "draws.h"
#include "flow_map_losses.h"

namespace cm {
namespace {

// Times of the linear path and lengths; float64 [B] each, on the CPU.
struct ShortcutSteps {
  Tensor t;
  Tensor d;       // half of the step; 0: flow matching
  Tensor d_told;  // what the network is told of d: of the shortest 0
};

// 1 or 2 draws a sample: t = 1/M, …, 1, and for two steps a power of two 2d = 1, ½, …, 2/M and t of its
// multiples.
ShortcutSteps draw_steps(const ShortcutOptions& options, uint64_t seed, int64_t step,
                         const std::vector<int64_t>& samples) {
  const auto finest = static_cast<double>(options.finest);
  const Tensor place = draw_uniform(seed, step, samples);
  const Tensor exponent = (draw_second_uniform(seed, step, samples) * std::log2(finest)).floor();
  const Tensor two = draw_part(options.consistency_share, seed, step, samples);
  const Tensor length = torch::where(two, (-exponent).exp2(), torch::full_like(place, 1 / finest));
  const Tensor t = ((place / length).floor() + 1) * length;
  const Tensor d = torch::where(two, length / 2, torch::zeros_like(t));
  return {t, d, torch::where(d * finest > 1, d, torch::zeros_like(d))};
}

}  // namespace

void validate(const ShortcutOptions& options, const Complain& complain) {
  if (!std::has_single_bit(static_cast<uint64_t>(options.finest)))
    complain("finest", concat("must be a power of two, because steps double, got ", options.finest));
}

Method method_of(const ShortcutOptions&, int64_t) {
  return {.has_target = true, .parameterizations = {Parameterization::linear_map}};
}

Objective objective_of(const ShortcutOptions& options, const Binding& binding) {
  const Path path = binding.student.path();
  const uint64_t seed = binding.seed;
  const auto steps = [options, seed](int64_t step, const std::vector<int64_t>& samples) {
    return draw_steps(options, seed, step, samples);
  };
  const auto draw = [=](const TrainingBatch& batch) {
    const auto [t, d, d_told] = steps(batch.step, batch.samples);
    return draws_of(seed, batch, {t, d, d_told});
  };
  const auto losses = [=, &student = binding.student, &target = *binding.target](const TrainingBatch& batch,
                                                                                 const Draws& draws) {
    const Tensor& t = draws.levels[0];
    const Tensor& d = draws.levels[1];
    const PathPoint at = path.between(batch.x, draws.noise, t);
    const Tensor of_two =
        shortcut_target(target.mean_velocity(batch.labels), at.z, t, d, draws.levels[2], options.clip);
    const Tensor wanted = torch::where(per_sample(d > 0, at.z), of_two, at.velocity);
    const Tensor u = student.mean_velocity(batch.labels, draws.dropout_keys)(at.z, t, t - 2 * d);
    return (u - wanted).square().flatten(1).mean(1);
  };
  Objective objective = drawn_objective(draw, losses, [=](int64_t step, const std::vector<int64_t>& samples) {
    return path.level(steps(step, samples).t);
  });
  objective.curriculum = [mu = options.mu](int64_t) { return CurriculumPoint{.levels = {}, .decay = mu}; };
  return objective;
}

}  // namespace cm
