// Randomness from a counter: a number is a pure function of (seed, purpose, step, sample, element), so that
// it does not depend on batch size, thread count, process count or what was drawn before. No generator has
// state.
//
// Philox (cm/base/philox.h) with key = seed, counter = (block, sample, step, purpose).
#pragma once

#include <cstdint>
#include <vector>

#include "cm/base/philox.h"
#include "cm/base/tensor.h"

namespace cm {

// What a draw is for; two purposes never share a number.
enum class Purpose : uint32_t {
  initial_weights = 1,
  data_order,
  augmentation,
  noise,
  sigma,
  dropout,
  sampling_start,
  sampling_noise,
  preview,
  evaluation,
  patches,
  label_dropout,
  data_component,
  data_noise,
  batch_part,
  second_level,
  latents,
};

// A stream of draws: everything but the sample and the element.
struct RandomKey {
  uint64_t seed = 0;
  Purpose purpose = Purpose::noise;
  uint32_t step = 0;

  // The four words of one counter.
  PhiloxBlock block(uint32_t sample, uint32_t block) const {
    return philox(seed, {{block, sample, step, static_cast<uint32_t>(purpose)}});
  }
  // 64 bits for seeding a library's own generator, or for one integer draw.
  uint64_t bits(uint32_t sample = 0, uint32_t block = 0) const;
  // Uniform in [0, 1), 53 bits.
  double uniform(uint32_t sample = 0, uint32_t block = 0) const;
  // Uniform in {0, …, n−1}; n ≥ 1.
  int64_t below(int64_t n, uint32_t sample = 0, uint32_t block = 0) const;
};

// Uniform [0, 1) float64 tensor [samples.size()] on the CPU; entry i depends on the key and samples[i] alone.
Tensor uniform(const RandomKey& key, const std::vector<int64_t>& samples);

// {first, first + 1, …, first + count − 1}: the sample indices of a batch.
std::vector<int64_t> sample_range(int64_t first, int64_t count);

// A permutation of {0, …, n−1} (Fisher–Yates over the key's draws).
std::vector<int64_t> permutation(const RandomKey& key, int64_t n);

}  // namespace cm
