// Noise: two samples, or points of a feature space.
#pragma once

#include "cm/base/random.h"
#include "cm/kernels/normal.h"

namespace cm::test {

// N(0, 1), [2, shape…], a function of the seed.
inline Tensor random_batch(uint64_t seed, const std::vector<int64_t>& shape) {
  return normal({.seed = seed}, {0, 1}, shape);
}

// N(0, 1), float64 [count, width], a function of the seed.
inline Tensor random_points(int64_t count, int64_t width, uint64_t seed) {
  return normal({.seed = seed}, sample_range(0, count), {width}).to(torch::kFloat64);
}

}  // namespace cm::test
