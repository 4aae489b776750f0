// Two samples of noise.
#pragma once

#include "cm/base/random.h"

namespace cm::test {

// N(0, 1), [2, shape…], a function of the seed.
inline Tensor random_batch(uint64_t seed, const std::vector<int64_t>& shape) {
  return normal({.seed = seed}, {0, 1}, shape);
}

}  // namespace cm::test
