// The random numbers of a training step: functions of the run's seed, the step and each sample's index.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "cm/training/objective.h"

namespace cm {

// ln σ ~ N(p_mean, p_std²).
struct LogNormal {
  double mean;
  double std;
};

// Unit normal noise of the batch, one draw a sample, on its device.
Tensor draw_noise(uint64_t seed, const TrainingBatch& batch);

// A uniform number in [0, 1) a sample, float64 on the CPU.
Tensor draw_uniform(uint64_t seed, int64_t step, const std::vector<int64_t>& samples);

// A log-normal σ a sample, float64 on the CPU.
Tensor draw_lognormal(const LogNormal& distribution, uint64_t seed, int64_t step,
                      const std::vector<int64_t>& samples);

// The same of a draw of its own, for a second level of the sample.
Tensor draw_second_uniform(uint64_t seed, int64_t step, const std::vector<int64_t>& samples);

// Numbers of that distribution at uniform ones.
Tensor lognormal_quantile(const LogNormal& distribution, const Tensor& uniform);

// The other way round: the probability of lower ones.
Tensor lognormal_probability(const LogNormal& distribution, const Tensor& sigma);

// Which samples belong to a part of the batch: bool [B] on the CPU, each true with probability `share`. Of a
// batch of n they are n · share, rounded up or down.
Tensor draw_part(double share, uint64_t seed, int64_t step, const std::vector<int64_t>& samples);

// Of each sample's dropout masks in this step (cm/kernels/dropout.h), on the batch's device.
Tensor draw_dropout_keys(uint64_t seed, const TrainingBatch& batch);

// The batch's labels, each replaced by kNullClass (cm/nn/network.h) with the given probability.
Tensor drop_labels(double probability, uint64_t seed, const TrainingBatch& batch);

// Host numbers on x's device, without waiting for the copy.
Tensor on_device_of(const Tensor& x, const Tensor& host);

// The draws of an objective: noise, dropout keys, and these host numbers of each sample, as fp32.
Draws draws_of(uint64_t seed, const TrainingBatch& batch, const std::vector<Tensor>& levels);

// An objective's loss as a function of a batch with its draws.
using DrawnLosses = std::function<Tensor(const TrainingBatch& batch, const Draws& draws)>;

// Of these parts: its losses draw where the batch brings no draws.
Objective drawn_objective(std::function<Draws(const TrainingBatch& batch)> draw, DrawnLosses losses,
                          std::function<Tensor(int64_t step, const std::vector<int64_t>& samples)> sigmas);

}  // namespace cm
