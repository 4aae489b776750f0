// How the group normalisation's passes walk through one span: some channels of one image that lie in one
// array, as a matrix whose rows or columns they are.
#pragma once

#include <algorithm>

#include "float_vector.h"
#include "group_norm_cpu.h"

namespace cm::group_norm_cpu {

// Of a number in its span: in an array of all the image's channels, and in the one that has the span's alone
// (cm/kernels/joined.h).
struct Place {
  int64_t whole;
  int64_t own;
};

// A span of channels × positions, cut into tiles of one vector's width, or one channel's, and these into
// steps of one vector. Channels last: a tile is some channels, whose parameters differ by lane, and a step is
// a position. Channels first: a tile is a channel, and a step is some positions.
template <class V, Layout layout>
struct Walk {
  static constexpr int64_t lanes = vec::kLanes<V>;
  static constexpr bool last = layout == Layout::channels_last;
  int64_t first;  // channel, counted from the unit's, whose numbers a channel the parameters and totals are
  int64_t channels;
  int64_t positions;
  int64_t stride;      // from row to row in an array of all channels
  int64_t own_stride;  // in the span's own

  int64_t tiles() const { return last ? (channels + lanes - 1) / lanes : channels; }
  int64_t steps() const { return last ? positions : (positions + lanes - 1) / lanes; }
  Place place(int64_t tile, int64_t step) const {
    const int64_t row = last ? step : tile;
    const int64_t column = (last ? tile : step) * lanes;
    return {.whole = row * stride + column, .own = row * own_stride + column};
  }
  int64_t width(int64_t tile) const { return last ? std::min(lanes, channels - tile * lanes) : lanes; }
  // Leaves each channel's number at its first position, of those in the span's own array, with its
  // parameters.
  void first_numbers(const float* own, float* values) const {
    for (int64_t i = 0; i < channels; ++i) values[first + i] = own[last ? i : i * own_stride];
  }

  // A number of each channel.
  [[gnu::always_inline]] V parameter(const float* values, int64_t tile) const {
    if constexpr (last) {
      return vec::load(values + first + tile * lanes, width(tile), V{});
    } else {
      return vec::broadcast<V>(values[first + tile]);
    }
  }

  // Adds a tile's lanes to each channel's total.
  [[gnu::always_inline]] void add(const V& sums, int64_t tile, double* totals) const {
    float lane[lanes];
    vec::store(lane, lanes, sums);
    if constexpr (last) {
      for (int64_t i = 0; i < width(tile); ++i) totals[first + tile * lanes + i] += lane[i];
    } else {
      for (const float sum : lane) totals[first + tile] += sum;
    }
  }

  // body(place, count) for steps start … end − 1 of a tile: `count` lanes from `place` on are numbers of the
  // span.
  template <class Body>
  [[gnu::always_inline]] void each(int64_t tile, int64_t start, int64_t end, Body& body) const {
    if constexpr (last) {
      const int64_t count = width(tile);
      if (count == lanes) {
        for (int64_t step = start; step < end; ++step) body(place(tile, step), lanes);
      } else {
        for (int64_t step = start; step < end; ++step) body(place(tile, step), count);
      }
    } else {
      const int64_t whole = std::min(end, positions / lanes);
      for (int64_t step = start; step < whole; ++step) body(place(tile, step), lanes);
      if (whole < end) body(place(tile, whole), positions - whole * lanes);
    }
  }
};

}  // namespace cm::group_norm_cpu
