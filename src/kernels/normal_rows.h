// What both devices' passes of cm/kernels/normal.h are given.
#pragma once

#include <cstdint>

#include "cm/base/philox.h"

namespace cm {

// out [count, width]: four numbers of row r are those of one counter of sample samples[r].
struct NormalRows {
  uint64_t seed;
  uint32_t step;
  uint32_t purpose;
  const int64_t* samples;
  int64_t count;
  int64_t width;
  float* out;

  // As RandomKey::block has it.
  CM_ON_ANY_DEVICE PhiloxBlock counter(int64_t row, int64_t block) const {
    return {{static_cast<uint32_t>(block), static_cast<uint32_t>(samples[row]), step, purpose}};
  }
};

}  // namespace cm
