#include "draws.h"

#include <numbers>

#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "cm/nn/network.h"

namespace cm {
namespace {

uint32_t step_word(int64_t step) {
  return static_cast<uint32_t>(step);
}

// The inverse of the standard normal's distribution function.
Tensor normal_quantile(const Tensor& u) {
  return std::numbers::sqrt2 * torch::erfinv(2 * u - 1);
}

}  // namespace

Tensor draw_noise(uint64_t seed, const TrainingBatch& batch) {
  const RandomKey key{.seed = seed, .purpose = Purpose::noise, .step = step_word(batch.step)};
  return normal(key, batch.samples, batch.x.sizes().slice(1).vec(), batch.x.device());
}

Tensor draw_uniform(uint64_t seed, int64_t step, const std::vector<int64_t>& samples) {
  return uniform({.seed = seed, .purpose = Purpose::sigma, .step = step_word(step)}, samples);
}

Tensor draw_second_uniform(uint64_t seed, int64_t step, const std::vector<int64_t>& samples) {
  return uniform({.seed = seed, .purpose = Purpose::second_level, .step = step_word(step)}, samples);
}

Tensor lognormal_quantile(const LogNormal& distribution, const Tensor& uniform) {
  return (distribution.mean + distribution.std * normal_quantile(uniform)).exp();
}

Tensor lognormal_probability(const LogNormal& distribution, const Tensor& sigma) {
  return ((sigma.log() - distribution.mean) / (distribution.std * std::numbers::sqrt2)).erf().add(1).div(2);
}

Tensor draw_lognormal(const LogNormal& distribution, uint64_t seed, int64_t step,
                      const std::vector<int64_t>& samples) {
  return lognormal_quantile(distribution, draw_uniform(seed, step, samples));
}

Tensor draw_part(double share, uint64_t seed, int64_t step, const std::vector<int64_t>& samples) {
  const RandomKey key{.seed = seed, .purpose = Purpose::batch_part, .step = step_word(step)};
  const double offset = key.uniform();
  const Tensor place = torch::tensor(samples, torch::kFloat64);
  return ((place + 1) * share + offset).floor() > (place * share + offset).floor();
}

Tensor draw_dropout_keys(uint64_t seed, const TrainingBatch& batch) {
  const RandomKey key{.seed = seed, .purpose = Purpose::dropout, .step = step_word(batch.step)};
  Tensor keys = torch::empty({static_cast<int64_t>(batch.samples.size())}, torch::kInt64);
  auto* const numbers = keys.data_ptr<int64_t>();
  for (size_t i = 0; i < batch.samples.size(); ++i) {
    numbers[i] = static_cast<int64_t>(key.bits(static_cast<uint32_t>(batch.samples[i])));
  }
  return on_device_of(batch.x, keys);
}

Tensor drop_labels(double probability, uint64_t seed, const TrainingBatch& batch) {
  if (probability == 0) return batch.labels;
  const RandomKey key{.seed = seed, .purpose = Purpose::label_dropout, .step = step_word(batch.step)};
  const Tensor dropped = on_device_of(batch.x, uniform(key, batch.samples).to(torch::kFloat32)) < probability;
  return batch.labels.masked_fill(dropped, kNullClass);
}

Draws draws_of(uint64_t seed, const TrainingBatch& batch, const std::vector<Tensor>& levels) {
  Draws draws{draw_noise(seed, batch), {}, draw_dropout_keys(seed, batch)};
  for (const Tensor& level : levels) draws.levels.push_back(on_device_of(batch.x, level.to(torch::kFloat32)));
  return draws;
}

Objective drawn_objective(std::function<Draws(const TrainingBatch& batch)> draw, DrawnLosses losses,
                          std::function<Tensor(int64_t step, const std::vector<int64_t>& samples)> sigmas) {
  const auto losses_of = [draw, losses = std::move(losses)](const TrainingBatch& batch) {
    return losses(batch, batch.draws ? *batch.draws : draw(batch));
  };
  return {.losses = losses_of, .draw = std::move(draw), .sigmas = std::move(sigmas)};
}

Tensor on_device_of(const Tensor& x, const Tensor& host) {
  return (x.is_cuda() ? host.pin_memory() : host).to(x.device(), /*non_blocking=*/true);
}

}  // namespace cm
