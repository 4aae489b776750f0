#include "cm/training/objective.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "cm/base/random.h"

namespace cm {
namespace {

uint32_t step_word(int64_t step) {
  return static_cast<uint32_t>(step);
}

// Unit normal noise of the batch, one draw a sample.
Tensor draw_noise(uint64_t seed, const TrainingBatch& batch) {
  const RandomKey key{.seed = seed, .purpose = Purpose::noise, .step = step_word(batch.step)};
  const bool pinned = batch.x.is_cuda();
  return normal(key, batch.samples, batch.x.sizes().slice(1).vec(), pinned)
      .to(batch.x.device(), /*non_blocking=*/true);
}

// A uniform number in [0, 1) a sample, float64 on the CPU.
Tensor draw_uniform(uint64_t seed, int64_t step, const std::vector<int64_t>& samples) {
  return uniform({.seed = seed, .purpose = Purpose::sigma, .step = step_word(step)}, samples);
}

// The step's dropout mask. Micro-batches differ by their first sample.
DropoutKey dropout_key(uint64_t seed, const TrainingBatch& batch) {
  const RandomKey key{.seed = seed, .purpose = Purpose::dropout, .step = step_word(batch.step)};
  return {key.bits(static_cast<uint32_t>(batch.samples.front()))};
}

// Host numbers as fp32 on x's device, without waiting for the copy.
Tensor on_device_of(const Tensor& x, const Tensor& host) {
  Tensor single = host.to(torch::kFloat32);
  if (x.is_cuda()) single = single.pin_memory();
  return single.to(x.device(), /*non_blocking=*/true);
}

// Pair i of an ascending grid is (σ_{i+2}, σ_{i+1}), i = 0…N−2: its larger and its smaller level.
struct HostPairs {
  Tensor t;
  Tensor r;
};

HostPairs pairs_at(const std::vector<double>& sigmas, const std::vector<int64_t>& indices) {
  std::vector<double> t;
  std::vector<double> r;
  for (const int64_t i : indices) {
    r.push_back(sigmas[static_cast<size_t>(i)]);
    t.push_back(sigmas[static_cast<size_t>(i) + 1]);
  }
  return {torch::tensor(t, torch::kFloat64), torch::tensor(r, torch::kFloat64)};
}

// n ~ U{1…N−1} (CM Algorithms 2 and 3).
HostPairs uniform_pairs(const std::vector<double>& sigmas, const Tensor& u) {
  const auto pairs = static_cast<double>(sigmas.size() - 1);
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < u.numel(); ++i) {
    indices.push_back(static_cast<int64_t>(std::floor(u.data_ptr<double>()[i] * pairs)));
  }
  return pairs_at(sigmas, indices);
}

HostPairs lognormal_pairs(const std::vector<double>& sigmas, const LogNormal& distribution, const Tensor& u) {
  const std::vector<double> cdf = lognormal_pair_cdf(sigmas, distribution);
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < u.numel(); ++i) {
    const auto place = std::ranges::upper_bound(cdf, u.data_ptr<double>()[i]);
    indices.push_back(std::min<int64_t>(place - cdf.begin(), static_cast<int64_t>(cdf.size()) - 1));
  }
  return pairs_at(sigmas, indices);
}

// The inverse of the standard normal's distribution function.
Tensor normal_quantile(const Tensor& u) {
  return std::numbers::sqrt2 * torch::erfinv(2 * u - 1);
}

using PairDraw = std::function<HostPairs(int64_t step, const std::vector<int64_t>& samples)>;
using PairWeight = std::function<Tensor(const SigmaPair& pair)>;
using PreviousOf = std::function<PreviousPoint(const Tensor& labels)>;

// The parts in which CD, CT and iCT differ.
struct ConsistencyParts {
  PairDraw draw_pairs;
  PairWeight weight;
  PreviousOf previous;
  DistanceFunction distance;
};

Objective consistency_objective(const Model& student, const Model& target, uint64_t seed,
                                const ConsistencyParts& parts,
                                std::function<CurriculumPoint(int64_t)> curriculum) {
  const auto losses = [&student, &target, seed, parts](const TrainingBatch& batch) {
    const HostPairs host = parts.draw_pairs(batch.step, batch.samples);
    const SigmaPair pair{on_device_of(batch.x, host.t), on_device_of(batch.x, host.r)};
    const DropoutKey mask = dropout_key(seed, batch);  // one mask for student and target
    return consistency_loss(student.denoiser(batch.labels, mask), target.denoiser(batch.labels, mask),
                            parts.previous(batch.labels), parts.distance, batch.x, draw_noise(seed, batch),
                            pair, parts.weight(pair));
  };
  const auto sigmas = [parts](int64_t step, const std::vector<int64_t>& samples) {
    return parts.draw_pairs(step, samples).t;
  };
  return {losses, sigmas, std::move(curriculum)};
}

PairWeight weight_at_larger_level(Weighting weighting, const Model& student) {
  const double sigma_data = student.options().sigma.data;
  return [weighting, sigma_data](const SigmaPair& pair) { return weight(weighting, pair.t, sigma_data); };
}

}  // namespace

std::vector<double> lognormal_pair_cdf(const std::vector<double>& sigmas, const LogNormal& distribution) {
  std::vector<double> at_level;
  for (const double sigma : sigmas) {
    at_level.push_back(
        std::erf((std::log(sigma) - distribution.mean) / (std::numbers::sqrt2 * distribution.std)));
  }
  std::vector<double> cdf;
  for (size_t i = 1; i < at_level.size(); ++i) {
    cdf.push_back((at_level[i] - at_level.front()) / (at_level.back() - at_level.front()));
  }
  return cdf;
}

Objective edm_objective(const EdmOptions& options, const Model& student, uint64_t seed) {
  const auto sigmas = [options, seed](int64_t step, const std::vector<int64_t>& samples) {
    return (options.p_mean + options.p_std * normal_quantile(draw_uniform(seed, step, samples))).exp();
  };
  const auto losses = [options, &student, seed, sigmas](const TrainingBatch& batch) {
    const Tensor sigma = on_device_of(batch.x, sigmas(batch.step, batch.samples));
    const Denoiser denoiser = student.denoiser(batch.labels, dropout_key(seed, batch));
    return denoising_loss(denoiser, batch.x, draw_noise(seed, batch), sigma,
                          weight(options.weighting, sigma, student.options().sigma.data));
  };
  return {losses, sigmas, [](int64_t) { return CurriculumPoint{}; }};
}

Objective cd_objective(const CdOptions& options, const DistanceFunction& distance, const Model& student,
                       const Model& target, const Model& teacher, uint64_t seed) {
  const auto grid = karras_sigmas(student.options().sigma, options.n);
  ConsistencyParts parts;
  parts.draw_pairs = [grid, seed](int64_t step, const std::vector<int64_t>& samples) {
    return uniform_pairs(grid, draw_uniform(seed, step, samples));
  };
  parts.weight = weight_at_larger_level(options.weighting, student);
  parts.previous = [options, &teacher](const Tensor& labels) {
    return teacher_step(options.solver, teacher.denoiser(labels));
  };
  parts.distance = distance;
  return consistency_objective(student, target, seed, parts, [options](int64_t) {
    return CurriculumPoint{options.n, options.mu};
  });
}

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

Objective ict_objective(const IctOptions& options, const DistanceFunction& distance, const Model& student,
                        int64_t total_steps, uint64_t seed) {
  const SigmaOptions sigma = student.options().sigma;
  ConsistencyParts parts;
  parts.draw_pairs = [options, sigma, total_steps, seed](int64_t step, const std::vector<int64_t>& samples) {
    const auto grid = karras_sigmas(sigma, noise_levels(options.levels, step, total_steps));
    return lognormal_pairs(grid, {options.p_mean, options.p_std}, draw_uniform(seed, step, samples));
  };
  parts.weight = [](const SigmaPair& pair) { return (pair.t - pair.r).reciprocal(); };
  parts.previous = [](const Tensor&) { return data_step(); };
  parts.distance = distance;
  return consistency_objective(student, student, seed, parts, [options, total_steps](int64_t step) {
    return CurriculumPoint{noise_levels(options.levels, step, total_steps), std::nullopt};
  });
}

}  // namespace cm
