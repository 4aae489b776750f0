// What a group normalisation is computed of, as arrays.
#pragma once

#include <cstdint>

#include "joined_arrays.h"

namespace cm {

enum class NormLayout {
  channels_first,  // [batch, channels, positions]
  channels_last,   // [batch, positions, channels]
};

// What is normalised is x + added. X is the type of the image's numbers, or void where they may have several.
template <class X>
struct GroupNormInput {
  int64_t batch;
  int64_t channels;
  int64_t positions;  // at least 1
  int64_t groups;
  NormLayout layout;
  bool silu;
  JoinedArrays<const X> x;
  const float* added;      // to every position of x, [channels] or [batch, channels]; null: nothing
  int64_t added_row;       // from image to image: channels, or 0 where all have the same
  const float* weight;     // [channels]
  const float* bias;       // [channels]
  const float* condition;  // [batch, 2 channels] or null
};

}  // namespace cm
