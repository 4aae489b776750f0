// What both devices' passes of cm/kernels/normal.h are given.
#pragma once

#include <cstdint>

#include "cm/base/philox.h"

namespace cm {

// out [count, width]. Number i of row r is the (i mod 4)th of normals_of the key's block i / 4 of sample
// samples[r].
struct NormalRows {
  uint64_t seed;
  uint32_t step;
  uint32_t purpose;
  const int64_t* samples;
  int64_t count;
  int64_t width;
  float* out;

  CM_ON_ANY_DEVICE PhiloxBlock block(int64_t row, int64_t counter) const {
    return philox(seed,
                  {{static_cast<uint32_t>(counter), static_cast<uint32_t>(samples[row]), step, purpose}});
  }
};

}  // namespace cm
