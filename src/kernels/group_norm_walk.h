// How the group normalisation's passes walk through one unit of work: some whole groups of one image, as a
// matrix whose rows or columns are channels.
#pragma once

#include <algorithm>

#include "float_vector.h"
#include "group_norm_cpu.h"

namespace cm::group_norm_cpu {

// A unit of channels × positions, cut into tiles of one vector's width, or one channel's, and these into
// steps of one vector. Channels last: a tile is some channels, whose parameters differ by lane, and a step is
// a position. Channels first: a tile is a channel, and a step is some positions.
template <class V, Layout layout>
struct Walk {
  static constexpr int64_t lanes = vec::kLanes<V>;
  static constexpr bool last = layout == Layout::channels_last;
  int64_t channels;
  int64_t positions;
  int64_t stride;  // from row to row

  int64_t tiles() const { return last ? (channels + lanes - 1) / lanes : channels; }
  int64_t steps() const { return last ? positions : (positions + lanes - 1) / lanes; }
  int64_t place(int64_t tile, int64_t step) const {
    return last ? step * stride + tile * lanes : tile * stride + step * lanes;
  }
  int64_t width(int64_t tile) const { return last ? std::min(lanes, channels - tile * lanes) : lanes; }
  // Of the first position of a channel.
  int64_t start(int64_t channel) const { return last ? channel : channel * stride; }

  // A number of each channel.
  [[gnu::always_inline]] V parameter(const float* values, int64_t tile) const {
    if constexpr (last) {
      return vec::load(values + tile * lanes, width(tile), V{});
    } else {
      return vec::broadcast<V>(values[tile]);
    }
  }

  // Adds a tile's lanes to each channel's total.
  [[gnu::always_inline]] void add(const V& sums, int64_t tile, double* totals) const {
    float lane[lanes];
    vec::store(lane, lanes, sums);
    if constexpr (last) {
      for (int64_t i = 0; i < width(tile); ++i) totals[tile * lanes + i] += lane[i];
    } else {
      for (const float sum : lane) totals[tile] += sum;
    }
  }

  // body(place, count) for steps first … end − 1 of a tile: `count` lanes from `place` on are numbers of the
  // unit.
  template <class Body>
  [[gnu::always_inline]] void each(int64_t tile, int64_t first, int64_t end, Body& body) const {
    if constexpr (last) {
      const int64_t count = width(tile);
      if (count == lanes) {
        for (int64_t step = first; step < end; ++step) body(place(tile, step), lanes);
      } else {
        for (int64_t step = first; step < end; ++step) body(place(tile, step), count);
      }
    } else {
      const int64_t whole = std::min(end, positions / lanes);
      for (int64_t step = first; step < whole; ++step) body(place(tile, step), lanes);
      if (whole < end) body(place(tile, whole), positions - whole * lanes);
    }
  }
};

}  // namespace cm::group_norm_cpu
