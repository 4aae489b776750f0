// Keys of dropout masks (cm/kernels/dropout.h) for tests.
#pragma once

#include "cm/base/tensor.h"

namespace cm::test {

// [count], of which no two are equal; others for another seed.
inline Tensor dropout_keys(int64_t seed, int64_t count) {
  return torch::arange(count, torch::kInt64) + 1000 * seed;
}

}  // namespace cm::test
