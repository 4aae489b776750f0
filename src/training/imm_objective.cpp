#include "cm/training/imm_objective.h"

#include "cm/base/text.h"
#include "draws.h"
#include "flow_map_losses.h"

namespace cm {
namespace {

// In fp32 t and s may be one number.
constexpr double kSmallestReach = 1e-7;

// Times s < t and s ≤ r < t of the linear path, on which the paper has them whatever the network's own is,
// and the weight at t; float64 [B] each, on the CPU.
struct ImmDraw {
  Tensor t;
  Tensor s;
  Tensor r;
  Tensor weight;
};

// Its levels are the ratios η of noise to data.
const Path kLinear{PathKind::linear};

// At a uniform number in [0, 1] each: the time in [t_min, upper] above which are that many.
Tensor time_below(const ImmOptions& options, const Tensor& upper, const Tensor& uniform) {
  if (options.times == LevelDistribution::uniform) return upper - (upper - options.t_min) * uniform;
  const LogNormal eta{options.p_mean, options.p_std};
  const Tensor highest = lognormal_probability(eta, kLinear.level(upper));
  const Tensor lowest = lognormal_probability(eta, kLinear.level(torch::full_like(upper, options.t_min)));
  return kLinear.time(lognormal_quantile(eta, highest - (highest - lowest) * uniform));
}

// ½ sigmoid(b − λ) (−dλ/dt) α^a/(α² + σ²) with α = 1 − t, σ = t, λ = 2 ln(α/σ)    (Eq. 14)
Tensor imm_weight(const ImmOptions& options, const Tensor& t) {
  const Tensor alpha = 1 - t;
  const Tensor lambda = 2 * (alpha / t).log();
  const Tensor slope = 2 / (alpha * t);
  return 0.5 * torch::sigmoid(options.weight_b - lambda) * slope * alpha.pow(options.weight_a) /
         (alpha.square() + t.square());
}

// The same in each group of neighbouring samples.
ImmDraw draw_times(const ImmOptions& options, uint64_t seed, int64_t step, std::vector<int64_t> samples) {
  for (int64_t& sample : samples) sample -= sample % options.group;
  const Tensor first = draw_uniform(seed, step, samples);
  const Tensor last = torch::full_like(first, options.t_max);
  const Tensor t = time_below(options, last, first);
  const Tensor s = time_below(options, t, 1 - draw_second_uniform(seed, step, samples));
  const Tensor range = kLinear.level(last) - kLinear.level(torch::full_like(last, options.t_min));
  const Tensor lower = kLinear.level(t) - range * std::exp2(-options.decrement);
  return {t, s, kLinear.time(torch::maximum(kLinear.level(s), lower)), imm_weight(options, t)};
}

}  // namespace

void validate(const ImmOptions& options, const Complain& complain) {
  if (options.t_min >= options.t_max)
    complain("t_min", concat("must be below t_max ", options.t_max, ", got ", options.t_min));
}

Method method_of(const ImmOptions& options, int64_t) {
  return {.parameterizations = {Parameterization::linear_map, Parameterization::trig_map},
          .group = options.group};
}

Objective objective_of(const ImmOptions& options, const Binding& binding) {
  const Model& student = binding.student;
  const Path path = student.path();
  const uint64_t seed = binding.seed;
  const auto level = [=](const Tensor& t) { return path.noise() * kLinear.level(t); };
  const auto draw = [=](const TrainingBatch& batch) {
    const auto [t, s, r, weight] = draw_times(options, seed, batch.step, batch.samples);
    return draws_of(seed, batch, {path.time(level(t)), path.time(level(s)), path.time(level(r)), weight});
  };
  const auto losses = [=, &student](const TrainingBatch& batch, const Draws& draws) {
    const Tensor& t = draws.levels[0];
    const Tensor& s = draws.levels[1];
    const Tensor& r = draws.levels[2];
    const MeanVelocity u = student.mean_velocity(batch.labels, draws.dropout_keys);
    const auto moved_from = [&](const Tensor& time) {
      const Tensor z = path.between(batch.x, draws.noise, time).z;
      return path.move(z, u(z, time, s), time, s);
    };
    const Tensor wanted = no_grad([&] { return moved_from(r); });
    // The kernel's, 1/c_out: what the map makes of a unit of the network's output is of unit size to it.
    const Tensor scale = 1 / (path.noise() * path.reach(t, s).clamp_min(kSmallestReach));
    return draws.levels[3] * moment_matching_loss(moved_from(t), wanted, scale, options.group);
  };
  return drawn_objective(draw, losses, [=](int64_t step, const std::vector<int64_t>& samples) {
    return level(draw_times(options, seed, step, samples).t);
  });
}

}  // namespace cm
