// How a block of threads walks through its piece of an image: a slice of the positions in a set of channels.
#pragma once

#include "cuda_device.cuh"
#include "group_norm_plan.h"

namespace cm::group_norm_cuda {

struct Piece {
  int64_t image;
  int slice;
  int channel;  // the first, like those below
  int channels;
  int group;
  int groups;
  int position;
  int positions;
};

__device__ inline int smaller(int a, int b) {
  return a < b ? a : b;
}

__device__ inline int positions_of_slice(const Plan& plan, int slice) {
  return smaller(plan.slice, plan.positions - slice * plan.slice);
}

// The piece of this block. Blocks of one image and slice are neighbours, as their numbers are when channels
// are last.
__device__ inline Piece piece_of_block(const Plan& plan) {
  const int set = static_cast<int>(blockIdx.x) % plan.sets;
  const int rest = static_cast<int>(blockIdx.x) / plan.sets;
  const int width = plan.channels / plan.groups;
  Piece piece;
  piece.image = rest / plan.slices;
  piece.slice = rest % plan.slices;
  piece.channel = set * plan.set;
  piece.channels = smaller(plan.set, plan.channels - piece.channel);
  piece.group = piece.channel / width;
  piece.groups = piece.channels / width;
  piece.position = piece.slice * plan.slice;
  piece.positions = positions_of_slice(plan, piece.slice);
  return piece;
}

// Where a piece's numbers of a channel begin in an array of so many channels, of which it is number
// `channel`.
template <NormLayout layout>
__device__ inline int64_t start_of(const Plan& plan, const Piece& piece, int channels, int channel) {
  return layout == NormLayout::channels_last
             ? (piece.image * plan.positions + piece.position) * channels + channel
             : (piece.image * channels + channel) * plan.positions + piece.position;
}

// Of x's two arrays the one that has a channel of the piece, and where.
struct OwnColumn {
  bool in_first;
  int channels;  // of the array
  int64_t start;

  template <class T, class Any>
  __device__ T* in(const JoinedArrays<Any>& arrays) const {
    return static_cast<T*>(in_first ? arrays.first : arrays.second) + start;
  }
};

template <NormLayout layout>
__device__ inline OwnColumn own_column_of(const Plan& plan, const Piece& piece, int64_t end_of_first,
                                          int channel) {
  const int seam = static_cast<int>(end_of_first);
  const int of_image = piece.channel + channel;
  const bool in_first = of_image < seam;
  const int channels = in_first ? seam : plan.channels - seam;
  return {in_first, channels, start_of<layout>(plan, piece, channels, in_first ? of_image : of_image - seam)};
}

// The block's shared memory: a number of each channel or group of its set.
struct Shared {
  __device__ explicit Shared(int set)
      : sum(cuda::shared_memory()),
        product(sum + set),
        mean(sum + 2 * set),
        slope(sum + 3 * set),
        offset(sum + 4 * set),
        group_mean(sum + 5 * set),
        group_rstd(sum + 6 * set),
        scratch(sum + 7 * set) {}
  float* sum;
  float* product;
  float* mean;
  float* slope;
  float* offset;
  float* group_mean;
  float* group_rstd;
  float* scratch;
};

// What one thread has to visit of one tile: `count` vectors from `position` on, each `step` after the last.
struct Visit {
  bool any;
  int channel;   // of the vector's first number, counted from the piece's
  int position;  // likewise
  int step;
  int count;
};

// Neighbouring threads take neighbouring vectors. Channels last: a tile is some columns of vectors; a thread
// keeps its column, whose channels differ by number, and takes each rows-th position. Channels first: a tile
// is some channels, with `lanes` threads each.
template <int vector, NormLayout the_layout>
struct Walk {
  static constexpr NormLayout layout = the_layout;
  static constexpr bool last = layout == NormLayout::channels_last;
  static constexpr int channels_of_a_vector = last ? vector : 1;

  // So many positions on in an array of so many channels.
  __device__ static int distance(int positions, int channels) {
    return last ? positions * channels : positions;
  }

  __device__ Walk(const Plan& plan, const Piece& piece)
      : piece_(piece),
        lanes_(plan.lanes),
        row_(static_cast<int>(threadIdx.x) / plan.lanes),
        lane_(static_cast<int>(threadIdx.x) % plan.lanes),
        rows_(kThreads / plan.lanes) {}

  __device__ int tiles() const {
    const int all = last ? piece_.channels / vector : piece_.channels;
    const int of_a_tile = last ? lanes_ : rows_;
    return (all + of_a_tile - 1) / of_a_tile;
  }

  __device__ Visit visit(int tile) const {
    Visit visit;
    if constexpr (last) {
      visit.channel = (tile * lanes_ + lane_) * vector;
      visit.any = row_ < rows_ && visit.channel < piece_.channels;
      visit.position = row_;
      visit.step = rows_;
      visit.count = steps_from(row_, piece_.positions, rows_);
    } else {
      visit.channel = tile * rows_ + row_;
      visit.any = visit.channel < piece_.channels;
      visit.position = lane_ * vector;
      visit.step = lanes_ * vector;
      visit.count = steps_from(lane_, piece_.positions / vector, lanes_);
    }
    return visit;
  }

  // visitor.start(channel), then for every vector visitor.use(visitor.load(position), position). Some loads
  // are under way at a time.
  template <class Visitor>
  __device__ void run(const Visit& visit, Visitor& visitor) const {
    if (!visit.any) return;
    visitor.start(visit.channel);
    constexpr int kAhead = Visitor::ahead;
    int position = visit.position;
    int i = 0;
    for (; i + kAhead <= visit.count; i += kAhead) {
      typename Visitor::Loaded loaded[kAhead];
#pragma unroll
      for (int k = 0; k < kAhead; ++k) loaded[k] = visitor.load(position + k * visit.step);
#pragma unroll
      for (int k = 0; k < kAhead; ++k) visitor.use(loaded[k], position + k * visit.step);
      position += kAhead * visit.step;
    }
    for (; i < visit.count; ++i, position += visit.step) visitor.use(visitor.load(position), position);
  }

  template <class Visitor>
  __device__ void each(Visitor& visitor) const {
    for (int tile = 0; tile < tiles(); ++tile) run(visit(tile), visitor);
  }

  // Runs a visitor with `sum` and `product`, [vector] each, and leaves every channel's in shared memory.
  template <class Visitor>
  __device__ void sums(Visitor& visitor, const Shared& shared) const {
    for (int tile = 0; tile < tiles(); ++tile) {
      for (int i = 0; i < vector; ++i) visitor.sum[i] = visitor.product[i] = 0;
      const Visit place = visit(tile);
      run(place, visitor);
      if constexpr (last) {
        add_rows(visitor, place, shared);
      } else {
        add_lanes(visitor, place, shared);
      }
    }
    __syncthreads();
  }

 private:
  __device__ static int steps_from(int first, int end, int step) {
    return first < end ? (end - first + step - 1) / step : 0;
  }

  template <class Visitor>
  __device__ void add_lanes(const Visitor& visitor, const Visit& place, const Shared& shared) const {
    float sum = 0;
    float product = 0;
    for (int i = 0; i < vector; ++i) {
      sum += visitor.sum[i];
      product += visitor.product[i];
    }
    sum = cuda::sum_of_lanes(sum, lanes_);
    product = cuda::sum_of_lanes(product, lanes_);
    if (!place.any || lane_ != 0) return;
    shared.sum[place.channel] = sum;
    shared.product[place.channel] = product;
  }

  // The upper half of the rows is added to the lower one until one is left. Where another tile follows, a row
  // takes all threads, and each has read its own place alone.
  template <class Visitor>
  __device__ void add_rows(const Visitor& visitor, const Visit& place, const Shared& shared) const {
    float* const own = shared.scratch + threadIdx.x;
    for (int i = 0; i < vector; ++i) {
      own[i * kThreads] = visitor.sum[i];
      own[(vector + i) * kThreads] = visitor.product[i];
    }
    int half = 1;
    while (half * 2 < rows_) half *= 2;
    for (; half > 0; half /= 2) {
      __syncthreads();
      if (row_ >= half || row_ + half >= rows_) continue;
      for (int i = 0; i < 2 * vector; ++i) own[i * kThreads] += own[i * kThreads + half * lanes_];
    }
    if (place.any && row_ == 0) {
      for (int i = 0; i < vector; ++i) {
        shared.sum[place.channel + i] = own[i * kThreads];
        shared.product[place.channel + i] = own[(vector + i) * kThreads];
      }
    }
  }

  const Piece& piece_;
  int lanes_;
  int row_;
  int lane_;
  int rows_;
};

}  // namespace cm::group_norm_cuda
