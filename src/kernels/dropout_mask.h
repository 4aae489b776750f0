// Which elements dropout keeps, for both devices' passes of cm/kernels/dropout.h.
#pragma once

#include <cstdint>

#include "cm/base/philox.h"

namespace cm {

// Of x [batch, channels, positions]. Four channels of a position share a counter, so that whichever of the
// two lies together in memory, a pass needs one Philox block for four elements.
struct DropoutMask {
  const int64_t* keys;  // of each sample
  int64_t batch;
  int64_t channels;
  int64_t positions;
  bool channels_last;
  uint32_t layer;
  uint32_t purpose;
  uint32_t threshold;  // of 2²⁴: an element is kept where the first 24 bits of its word are not below
  float scale;         // of what is kept

  CM_ON_ANY_DEVICE int64_t fours() const { return (channels + 3) / 4; }

  // Of channels 4 four … 4 four + 3 at a position, with first = four · positions + position. As
  // RandomKey::block has it, the layer in the place of a sample.
  CM_ON_ANY_DEVICE PhiloxBlock counter(int64_t first) const {
    return {{static_cast<uint32_t>(first), layer, 0, purpose}};
  }

  CM_ON_ANY_DEVICE bool keeps(uint32_t word) const { return word >> 8 >= threshold; }
};

}  // namespace cm
