// What a residual sum is computed of, as arrays.
#pragma once

#include <cstdint>

namespace cm {

// [batch, positions, channels] where channels are last, or [batch, channels, positions].
template <class X>
struct ResidualImages {
  int64_t batch;
  int64_t channels;
  int64_t positions;
  bool channels_last;
  const X* kept;
  const X* image;
  const float* bias;  // [channels] or null
  float factor;
  X* y;
};

}  // namespace cm
