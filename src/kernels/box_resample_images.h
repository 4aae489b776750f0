// What the box filter's passes are computed of, as arrays.
#pragma once

#include <cstdint>

namespace cm {

// `small` has the side of `large` halved, [batch, height, width, channels] where channels are last, or
// [batch, channels, height, width]. A pass reads one and writes the other.
template <class X>
struct BoxImages {
  int64_t batch;
  int64_t channels;
  int64_t height;  // of `small`, like the width
  int64_t width;
  bool channels_last;
  float factor;
  X* small;
  X* large;

  int64_t rows() const { return batch * (channels_last ? 1 : channels) * height; }  // of pixels, of `small`
  int64_t depth() const { return channels_last ? channels : 1; }                    // numbers of a pixel
};

}  // namespace cm
