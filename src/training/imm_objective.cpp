#include "cm/training/imm_objective.h"

#include "draws.h"
#include "flow_map_losses.h"

namespace cm {
namespace {

// Times of the linear path, s < t and s ≤ r < t, and the weight at t; float64 [B] each, on the CPU.
struct ImmTimes {
  Tensor t;
  Tensor s;
  Tensor r;
  Tensor weight;
};

// ½ sigmoid(b − λ) (−dλ/dt) α^a/(α² + σ²) with α = 1 − t, σ = t, λ = 2 ln(α/σ)    (Eq. 14)
Tensor imm_weight(const ImmOptions& options, const Tensor& t) {
  const Tensor alpha = 1 - t;
  const Tensor lambda = 2 * (alpha / t).log();
  const Tensor slope = 2 / (alpha * t);
  return 0.5 * torch::sigmoid(options.weight_b - lambda) * slope * alpha.pow(options.weight_a) /
         (alpha.square() + t.square());
}

// The same in each group of neighbouring samples.
ImmTimes draw_times(const ImmOptions& options, const Path& path, uint64_t seed, int64_t step,
                    std::vector<int64_t> samples) {
  for (int64_t& sample : samples) sample -= sample % options.group;
  const Tensor t = options.t_max * (1 - draw_uniform(seed, step, samples));
  const Tensor s = t * draw_second_uniform(seed, step, samples);
  const double largest = options.t_max / (1 - options.t_max);
  const Tensor level = path.level(t) - largest * std::exp2(-options.decrement);
  return {t, s, path.time(torch::maximum(path.level(s), level)), imm_weight(options, t)};
}

}  // namespace

Method method_of(const ImmOptions& options, int64_t) {
  return {.parameterizations = {Parameterization::linear_map}, .group = options.group};
}

Objective objective_of(const ImmOptions& options, const Binding& binding) {
  const Model& student = binding.student;
  const Path path = student.path();
  const uint64_t seed = binding.seed;
  const auto times = [=](int64_t step, const std::vector<int64_t>& samples) {
    return draw_times(options, path, seed, step, samples);
  };
  const auto draw = [=](const TrainingBatch& batch) {
    const auto [t, s, r, weight] = times(batch.step, batch.samples);
    return draws_of(seed, batch, {t, s, r, weight});
  };
  const auto losses = [=, &student](const TrainingBatch& batch, const Draws& draws) {
    const Tensor& t = draws.levels[0];
    const Tensor& s = draws.levels[1];
    const Tensor& r = draws.levels[2];
    const MeanVelocity u = student.mean_velocity(batch.labels, dropout_key(seed, batch));
    const auto moved_from = [&](const Tensor& time) {
      const Tensor z = path.between(batch.x, draws.noise, time).z;
      return path.move(z, u(z, time, s), time, s);
    };
    const Tensor wanted = no_grad([&] { return moved_from(r); });
    return draws.levels[3] * moment_matching_loss(moved_from(t), wanted, 1 / (t - s), options.group);
  };
  return drawn_objective(draw, losses, [=](int64_t step, const std::vector<int64_t>& samples) {
    return path.level(times(step, samples).t);
  });
}

}  // namespace cm
