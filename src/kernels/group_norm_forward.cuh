// y = act((x − mean) · slope + offset) and the statistics before it (cm/kernels/group_norm.h).
#pragma once

#include "group_norm_block.cuh"

namespace cm::group_norm_cuda {

// One launch does the whole where each block has all of its groups' numbers; else one launch sums over
// slices, and a second one does the rest.
enum class Stage { whole, sums, rest };

// What both passes compute with.
struct Common {
  Plan plan;
  bool silu;
  Stage stage;
  JoinedArrays<const void> x;
  const float* added;
  int64_t added_row;
  const float* weight;
  const float* bias;
  const float* condition;
};

struct Forward : Common {
  float epsilon;
  void* y;
  float* mean;           // [batch, groups]
  float* rstd;           // [batch, groups]
  float* deviation;      // Σ (x − mean) of each channel, [batch, channels], or null
  float2* moments;       // mean and Σ (x − mean)² of each slice, [batch, groups, slices]
  float* channel_means;  // of each slice, [batch, slices, channels], where there is a deviation
};

// 1 / (1 + e⁻ʰ), to the precision that the numbers' type can show.
template <class T>
__device__ inline float sigmoid(float h) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return 1.0F / (1.0F + expf(-h));
  } else {
    return __fdividef(1.0F, 1.0F + __expf(-h));
  }
}

__device__ inline float scale_of(const Common& job, int64_t image, int channel) {
  return job.condition == nullptr ? 1.0F : 1.0F + job.condition[image * 2 * job.plan.channels + channel];
}

__device__ inline float shift_of(const Common& job, int64_t image, int channel) {
  return job.condition == nullptr ? 0.0F : job.condition[(image * 2 + 1) * job.plan.channels + channel];
}

__device__ inline float added_to(const Common& job, int64_t image, int channel) {
  return job.added == nullptr ? 0.0F : job.added[image * job.added_row + channel];
}

// Every channel's numbers for h = (x − mean) · slope + offset, once its group's are in shared memory.
__device__ inline void set_coefficients(const Common& job, const Piece& piece, const Shared& shared) {
  const int width = job.plan.channels / job.plan.groups;
  for (int i = static_cast<int>(threadIdx.x); i < piece.channels; i += kThreads) {
    const int channel = piece.channel + i;
    const float scale = scale_of(job, piece.image, channel);
    shared.mean[i] = shared.group_mean[i / width] - added_to(job, piece.image, channel);
    shared.slope[i] = scale * job.weight[channel] * shared.group_rstd[i / width];
    shared.offset[i] = scale * job.bias[channel] + shift_of(job, piece.image, channel);
  }
  __syncthreads();
}

// Of a vector's numbers: one of each channel, or of the one channel that all are of.
template <int count>
struct Values {
  float values[count];
  __device__ void take(const float* from) {
    for (int i = 0; i < count; ++i) values[i] = from[i];
  }
  __device__ float operator[](int i) const { return values[count == 1 ? 0 : i]; }
};

// x at the channels that a thread is at.
template <class T, class Walk>
struct OwnNumbers {
  const T* numbers = nullptr;
  int channels = 0;  // of the array that has them

  __device__ OwnColumn start(const Common& job, const Piece& piece, int channel) {
    const OwnColumn own = own_column_of<Walk::layout>(job.plan, piece, job.x.seam, channel);
    numbers = own.in<const T>(job.x);
    channels = own.channels;
    return own;
  }
  __device__ const T* at(int position) const { return numbers + Walk::distance(position, channels); }
};

// Σ (x − k) and Σ (x − k)² of a channel, k its first number in the piece, which keeps the difference of
// the two from cancelling where the mean is large.
template <class T, int vector, class Walk>
struct Moments {
  static constexpr int ahead = 4;
  using Loaded = cuda::Pack<T, vector>;
  const Common& job;
  const Piece& piece;
  OwnNumbers<T, Walk> x = {};
  float sum[vector] = {};
  float product[vector] = {};
  Values<Walk::channels_of_a_vector> shift = {};

  __device__ void start(int channel) {
    x.start(job, piece, channel);
    for (int i = 0; i < Walk::channels_of_a_vector; ++i) shift.values[i] = cuda::to_float(x.numbers[i]);
  }
  __device__ Loaded load(int position) const { return cuda::load<T, vector>(x.at(position)); }
  __device__ void use(const Loaded& loaded, int /*position*/) {
    for (int i = 0; i < vector; ++i) {
      const float difference = cuda::to_float(loaded.values[i]) - shift[i];
      sum[i] += difference;
      product[i] += difference * difference;
    }
  }
};

// h = (x − mean) · slope + offset of the channels that a thread is at.
template <int channels>
struct Affine {
  Values<channels> mean = {};
  Values<channels> slope = {};
  Values<channels> offset = {};

  __device__ void take(const Shared& shared, int channel) {
    mean.take(shared.mean + channel);
    slope.take(shared.slope + channel);
    offset.take(shared.offset + channel);
  }
  __device__ float centred(float x, int i) const { return x - mean[i]; }
  __device__ float of_centred(float centred, int i) const { return centred * slope[i] + offset[i]; }
};

template <class T, int vector, bool silu, class Walk>
struct Output {
  static constexpr int ahead = 4;
  using Loaded = cuda::Pack<T, vector>;
  const Forward& job;
  const Piece& piece;
  const Shared& shared;
  OwnNumbers<T, Walk> x = {};
  T* y = nullptr;
  Affine<Walk::channels_of_a_vector> affine = {};

  __device__ void start(int channel) {
    x.start(job, piece, channel);
    y = static_cast<T*>(job.y) +
        start_of<Walk::layout>(job.plan, piece, job.plan.channels, piece.channel + channel);
    affine.take(shared, channel);
  }
  __device__ Loaded load(int position) const { return cuda::load<T, vector>(x.at(position)); }
  __device__ void use(const Loaded& loaded, int position) const {
    cuda::Pack<T, vector> result;
    for (int i = 0; i < vector; ++i) {
      const float h = affine.of_centred(affine.centred(cuda::to_float(loaded.values[i]), i), i);
      cuda::assign(result.values[i], silu ? h * sigmoid<T>(h) : h);
    }
    cuda::store(y + Walk::distance(position, job.plan.channels), result);
  }
};

// The group's mean, and 1/√(var + ε) from Σ (x − mean)², by one thread.
__device__ inline void set_statistics(const Forward& job, const Piece& piece, const Shared& shared, int group,
                                      float mean, float squares) {
  const Plan& plan = job.plan;
  const float count = static_cast<float>(plan.channels / plan.groups) * static_cast<float>(plan.positions);
  const float rstd = 1.0F / sqrtf(squares / count + job.epsilon);
  shared.group_mean[group] = mean;
  shared.group_rstd[group] = rstd;
  if (piece.slice != 0) return;
  const int64_t place = piece.image * plan.groups + piece.group + group;
  job.mean[place] = mean;
  job.rstd[place] = rstd;
}

__device__ inline int warp() {
  return static_cast<int>(threadIdx.x) / cuda::kWarp;
}

__device__ inline int lane() {
  return static_cast<int>(threadIdx.x) % cuda::kWarp;
}

inline constexpr int kWarps = kThreads / cuda::kWarp;

// A channel's mean in the piece, from its sum there.
template <class T, NormLayout layout>
__device__ float channel_mean(const Forward& job, const Piece& piece, const Shared& shared, int i) {
  return cuda::to_float(*own_column_of<layout>(job.plan, piece, job.x.seam, i).template in<const T>(job.x)) +
         shared.sum[i] / static_cast<float>(piece.positions) + added_to(job, piece.image, piece.channel + i);
}

// From the channels' sums of this piece, a warp for each group. The spread of the channels' means adds to the
// squares: Chan, Golub, LeVeque, "Algorithms for computing the sample variance", 1983.
template <class T, NormLayout layout>
__device__ void combine_channels(const Forward& job, const Piece& piece, const Shared& shared) {
  const int width = job.plan.channels / job.plan.groups;
  const auto n = static_cast<float>(piece.positions);
  const auto mean_of = [&](int i) { return channel_mean<T, layout>(job, piece, shared, i); };
  for (int group = warp(); group < piece.groups; group += kWarps) {
    const int end = (group + 1) * width;
    float total = 0;
    for (int i = group * width + lane(); i < end; i += cuda::kWarp) total += mean_of(i);
    const float mean = cuda::sum_of_lanes(total, cuda::kWarp) / static_cast<float>(width);
    float squares = 0;
    for (int i = group * width + lane(); i < end; i += cuda::kWarp) {
      const float inside = shared.product[i] - shared.sum[i] * shared.sum[i] / n;
      const float outside = mean_of(i) - mean;
      squares += (inside < 0 ? 0 : inside) + n * outside * outside;  // what is not a number stays so
    }
    squares = cuda::sum_of_lanes(squares, cuda::kWarp);
    if (lane() != 0) continue;
    if (job.stage == Stage::whole) {
      set_statistics(job, piece, shared, group, mean, squares);
    } else {
      const int64_t place = piece.image * job.plan.groups + piece.group + group;
      job.moments[place * job.plan.slices + piece.slice] = {mean, squares};
    }
  }
}

// Σ (x − mean) of each channel, or what the last stage needs for it; the group's statistics are in shared
// memory where there is one stage.
template <class T, NormLayout layout>
__device__ void keep_deviation(const Forward& job, const Piece& piece, const Shared& shared) {
  const Plan& plan = job.plan;
  const int width = plan.channels / plan.groups;
  const auto n = static_cast<float>(piece.positions);
  for (int i = static_cast<int>(threadIdx.x); i < piece.channels; i += kThreads) {
    const float mean = channel_mean<T, layout>(job, piece, shared, i);
    const int channel = piece.channel + i;
    if (job.stage == Stage::whole) {
      job.deviation[piece.image * plan.channels + channel] = n * (mean - shared.group_mean[i / width]);
    } else {
      job.channel_means[(piece.image * plan.slices + piece.slice) * plan.channels + channel] = mean;
    }
  }
}

// The same from the channels' means in all slices.
__device__ inline void combine_deviations(const Forward& job, const Piece& piece, const Shared& shared) {
  const Plan& plan = job.plan;
  const int width = plan.channels / plan.groups;
  for (int i = static_cast<int>(threadIdx.x); i < piece.channels; i += kThreads) {
    const int channel = piece.channel + i;
    float total = 0;
    for (int slice = 0; slice < plan.slices; ++slice) {
      const float mean = job.channel_means[(piece.image * plan.slices + slice) * plan.channels + channel];
      total += (mean - shared.group_mean[i / width]) * static_cast<float>(positions_of_slice(plan, slice));
    }
    job.deviation[piece.image * plan.channels + channel] = total;
  }
}

// From the moments of all slices, in the same way.
__device__ inline void combine_slices(const Forward& job, const Piece& piece, const Shared& shared) {
  const Plan& plan = job.plan;
  const auto width = static_cast<float>(plan.channels / plan.groups);
  for (int group = warp(); group < piece.groups; group += kWarps) {
    const float2* const moments =
        job.moments + (piece.image * plan.groups + piece.group + group) * plan.slices;
    float total = 0;
    for (int i = lane(); i < plan.slices; i += cuda::kWarp) {
      total += moments[i].x * static_cast<float>(positions_of_slice(plan, i));
    }
    const float mean = cuda::sum_of_lanes(total, cuda::kWarp) / static_cast<float>(plan.positions);
    float squares = 0;
    for (int i = lane(); i < plan.slices; i += cuda::kWarp) {
      const float outside = moments[i].x - mean;
      squares += moments[i].y + width * static_cast<float>(positions_of_slice(plan, i)) * outside * outside;
    }
    squares = cuda::sum_of_lanes(squares, cuda::kWarp);
    if (lane() == 0) set_statistics(job, piece, shared, group, mean, squares);
  }
}

inline constexpr int kForwardBlocks = 4;  // at once on a multiprocessor

template <class T, int vector, NormLayout layout>
__global__ void __launch_bounds__(kThreads, kForwardBlocks) forward_kernel(const Forward job) {
  using BlockWalk = Walk<vector, layout>;
  const Piece piece = piece_of_block(job.plan);
  const Shared shared(job.plan.set);
  const BlockWalk walk(job.plan, piece);
  if (job.stage != Stage::rest) {
    Moments<T, vector, BlockWalk> moments{.job = job, .piece = piece};
    walk.sums(moments, shared);
    combine_channels<T, layout>(job, piece, shared);
  } else {
    combine_slices(job, piece, shared);
  }
  __syncthreads();
  if (job.deviation != nullptr && job.stage != Stage::rest) keep_deviation<T, layout>(job, piece, shared);
  if (job.deviation != nullptr && job.stage == Stage::rest && piece.slice == 0) {
    combine_deviations(job, piece, shared);
  }
  if (job.stage == Stage::sums) return;
  set_coefficients(job, piece, shared);
  if (job.silu) {
    Output<T, vector, true, BlockWalk> output{.job = job, .piece = piece, .shared = shared};
    walk.each(output);
  } else {
    Output<T, vector, false, BlockWalk> output{.job = job, .piece = piece, .shared = shared};
    walk.each(output);
  }
}

}  // namespace cm::group_norm_cuda
