// The gradients of cm/kernels/group_norm.h. With h as in group_norm_forward.cuh, dh = dy · act′(h), N numbers
// in a group and ĝ = dh · (1 + scale) · weight:
//   dx = rstd (ĝ − Σ ĝ / N − x̂ Σ ĝ x̂ / N) = dh · slope − ((x − mean) · pull + push).
#pragma once

#include "group_norm_forward.cuh"

namespace cm::group_norm_cuda {

struct Backward : Common {
  const float* mean;  // [batch, groups], like rstd
  const float* rstd;
  const void* dy;
  JoinedArrays<void> dx;
  float* condition_gradient;  // [batch, 2 channels] or null
  const float* deviation;     // what the forward pass kept, [batch, channels], or null
  float* added_gradient;      // Σ dx of each image, [batch, channels], or null
  float2* of_image;           // the image's part of the bias's and the weight's gradient, [batch, channels]
  float2* sums;               // Σ dh and Σ dh (x − mean) of each slice, [batch, slices, channels]
};

template <class T, int vector>
struct XAndGradient {
  cuda::Pack<T, vector> x;
  cuda::Pack<T, vector> dy;
};

// Of the channels that a thread is at.
template <class T, int vector, class Walk>
struct XAndGradientColumns {
  OwnNumbers<T, Walk> x = {};
  const T* dy = nullptr;

  __device__ OwnColumn start(const Backward& job, const Piece& piece, int channel) {
    dy = static_cast<const T*>(job.dy) +
         start_of<Walk::layout>(job.plan, piece, job.plan.channels, piece.channel + channel);
    return x.start(job, piece, channel);
  }
  __device__ XAndGradient<T, vector> load(const Backward& job, int position) const {
    return {cuda::load<T, vector>(x.at(position)),
            cuda::load<T, vector>(dy + Walk::distance(position, job.plan.channels))};
  }
};

template <class T, bool silu>
__device__ inline float activation_gradient(float dy, float h) {
  if constexpr (!silu) return dy;
  const float s = sigmoid<T>(h);
  return dy * s * (1.0F + h * (1.0F - s));
}

// Σ dh and Σ dh (x − mean) of a channel.
template <class T, int vector, bool silu, class Walk>
struct GradientSums {
  static constexpr int ahead = 2;
  using Loaded = XAndGradient<T, vector>;
  const Backward& job;
  const Piece& piece;
  const Shared& shared;
  XAndGradientColumns<T, vector, Walk> columns = {};
  float sum[vector] = {};
  float product[vector] = {};
  Affine<Walk::channels_of_a_vector> affine = {};

  __device__ void start(int channel) {
    columns.start(job, piece, channel);
    affine.take(shared, channel);
  }
  __device__ Loaded load(int position) const { return columns.load(job, position); }
  __device__ void use(const Loaded& loaded, int /*position*/) {
    for (int i = 0; i < vector; ++i) {
      const float centred = affine.centred(cuda::to_float(loaded.x.values[i]), i);
      const float dh =
          activation_gradient<T, silu>(cuda::to_float(loaded.dy.values[i]), affine.of_centred(centred, i));
      sum[i] += dh;
      product[i] += dh * centred;
    }
  }
};

template <class T, int vector, bool silu, class Walk>
struct InputGradient {
  static constexpr int ahead = 2;
  using Loaded = XAndGradient<T, vector>;
  const Backward& job;
  const Piece& piece;
  const Shared& shared;
  XAndGradientColumns<T, vector, Walk> columns = {};
  T* dx = nullptr;
  Affine<Walk::channels_of_a_vector> affine = {};
  Values<Walk::channels_of_a_vector> pull = {};
  Values<Walk::channels_of_a_vector> push = {};

  __device__ void start(int channel) {
    dx = columns.start(job, piece, channel).template in<T>(job.dx);
    affine.take(shared, channel);
    pull.take(shared.product + channel);
    push.take(shared.sum + channel);
  }
  __device__ Loaded load(int position) const { return columns.load(job, position); }
  __device__ void use(const Loaded& loaded, int position) const {
    cuda::Pack<T, vector> result;
    for (int i = 0; i < vector; ++i) {
      const float centred = affine.centred(cuda::to_float(loaded.x.values[i]), i);
      const float dh =
          activation_gradient<T, silu>(cuda::to_float(loaded.dy.values[i]), affine.of_centred(centred, i));
      cuda::assign(result.values[i], dh * affine.slope[i] - (centred * pull[i] + push[i]));
    }
    cuda::store(dx + Walk::distance(position, columns.x.channels), result);
  }
};

// What the forward pass kept.
__device__ inline void load_statistics(const Backward& job, const Piece& piece, const Shared& shared) {
  const int64_t place = piece.image * job.plan.groups + piece.group;
  for (int i = static_cast<int>(threadIdx.x); i < piece.groups; i += kThreads) {
    shared.group_mean[i] = job.mean[place + i];
    shared.group_rstd[i] = job.rstd[place + i];
  }
  __syncthreads();
}

__device__ inline void write_sums(const Backward& job, const Piece& piece, const Shared& shared) {
  float2* const sums =
      job.sums + (piece.image * job.plan.slices + piece.slice) * job.plan.channels + piece.channel;
  for (int i = static_cast<int>(threadIdx.x); i < piece.channels; i += kThreads) {
    sums[i] = {shared.sum[i], shared.product[i]};
  }
}

__device__ inline void add_slices(const Backward& job, const Piece& piece, const Shared& shared) {
  const float2* const sums = job.sums + piece.image * job.plan.slices * job.plan.channels + piece.channel;
  for (int i = static_cast<int>(threadIdx.x); i < piece.channels; i += kThreads) {
    float2 total = {0, 0};
    for (int slice = 0; slice < job.plan.slices; ++slice) {
      const float2 part = sums[static_cast<int64_t>(slice) * job.plan.channels + i];
      total.x += part.x;
      total.y += part.y;
    }
    shared.sum[i] = total.x;
    shared.product[i] = total.y;
  }
  __syncthreads();
}

// What the image adds to the parameters' gradients.
__device__ inline void write_parameter_gradients(const Backward& job, const Piece& piece,
                                                 const Shared& shared) {
  const int channels = job.plan.channels;
  const int width = channels / job.plan.groups;
  for (int i = static_cast<int>(threadIdx.x); i < piece.channels; i += kThreads) {
    const int channel = piece.channel + i;
    const float sum = shared.sum[i];
    const float product = shared.product[i] * shared.group_rstd[i / width];
    const float scale = scale_of(job, piece.image, channel);
    job.of_image[piece.image * channels + channel] = {scale * sum, scale * product};
    if (job.condition_gradient == nullptr) continue;
    float* const condition = job.condition_gradient + piece.image * 2 * channels + channel;
    condition[0] = job.weight[channel] * product + job.bias[channel] * sum;
    condition[channels] = sum;
  }
}

// Every channel's push and pull, in the place of its two sums, and Σ dx of it; a warp for each group. slope
// is (1 + scale) · weight · rstd.
__device__ inline void set_pulls(const Backward& job, const Piece& piece, const Shared& shared) {
  const int width = job.plan.channels / job.plan.groups;
  const float count = static_cast<float>(width) * static_cast<float>(job.plan.positions);
  for (int group = warp(); group < piece.groups; group += kWarps) {
    const int end = (group + 1) * width;
    float sum = 0;
    float product = 0;
    for (int i = group * width + lane(); i < end; i += cuda::kWarp) {
      sum += shared.slope[i] * shared.sum[i];
      product += shared.slope[i] * shared.product[i];
    }
    const float rstd = shared.group_rstd[group];
    const float push = cuda::sum_of_lanes(sum, cuda::kWarp) / count;
    const float pull = cuda::sum_of_lanes(product, cuda::kWarp) * rstd * rstd / count;
    for (int i = group * width + lane(); i < end; i += cuda::kWarp) {
      if (job.added_gradient != nullptr && piece.slice == 0) {
        const int64_t place = piece.image * job.plan.channels + piece.channel + i;
        job.added_gradient[place] =
            shared.slope[i] * shared.sum[i] -
            (job.deviation[place] * pull + static_cast<float>(job.plan.positions) * push);
      }
      shared.sum[i] = push;
      shared.product[i] = pull;
    }
  }
  __syncthreads();
}

template <class T, int vector, bool silu, class Walk>
__device__ void sum_gradients(const Backward& job, const Piece& piece, const Walk& walk,
                              const Shared& shared) {
  GradientSums<T, vector, silu, Walk> sums{.job = job, .piece = piece, .shared = shared};
  walk.sums(sums, shared);
}

template <class T, int vector, bool silu, class Walk>
__device__ void write_input_gradient(const Backward& job, const Piece& piece, const Walk& walk,
                                     const Shared& shared) {
  InputGradient<T, vector, silu, Walk> gradient{.job = job, .piece = piece, .shared = shared};
  walk.each(gradient);
}

// At once on a multiprocessor, by the registers that vectors along channels take.
template <NormLayout layout>
inline constexpr int kBackwardBlocks = layout == NormLayout::channels_last ? 3 : 4;

template <class T, int vector, NormLayout layout>
__global__ void __launch_bounds__(kThreads, kBackwardBlocks<layout>) backward_kernel(const Backward job) {
  const Piece piece = piece_of_block(job.plan);
  const Shared shared(job.plan.set);
  const Walk<vector, layout> walk(job.plan, piece);
  load_statistics(job, piece, shared);
  set_coefficients(job, piece, shared);
  if (job.stage == Stage::rest) {
    add_slices(job, piece, shared);
  } else if (job.silu) {
    sum_gradients<T, vector, true>(job, piece, walk, shared);
  } else {
    sum_gradients<T, vector, false>(job, piece, walk, shared);
  }
  if (job.stage == Stage::sums) {
    write_sums(job, piece, shared);
    return;
  }
  if (piece.slice == 0) write_parameter_gradients(job, piece, shared);
  __syncthreads();
  set_pulls(job, piece, shared);
  if (job.silu) {
    write_input_gradient<T, vector, true>(job, piece, walk, shared);
  } else {
    write_input_gradient<T, vector, false>(job, piece, walk, shared);
  }
}

// The gradients of bias and weight from the images' parts.
struct BatchSum {
  int64_t batch;
  int channels;
  const float2* of_image;  // [batch, channels]
  float* bias;
  float* weight;
};

inline constexpr int kColumns = 8;  // channels of a block, 64 neighbouring bytes
inline constexpr int kRows = kThreads / kColumns;
inline constexpr size_t kBatchSumBytes = sizeof(float2) * kThreads;

static __global__ void __launch_bounds__(kThreads) sum_over_batch(const BatchSum job) {
  auto* const sums = reinterpret_cast<float2*>(cuda::shared_memory());
  const int row = static_cast<int>(threadIdx.x) / kColumns;
  const int channel = static_cast<int>(blockIdx.x) * kColumns + static_cast<int>(threadIdx.x) % kColumns;
  float2 sum = {0, 0};
  if (channel < job.channels) {
#pragma unroll 4
    for (int64_t image = row; image < job.batch; image += kRows) {
      const float2 part = job.of_image[image * job.channels + channel];
      sum.x += part.x;
      sum.y += part.y;
    }
  }
  sums[threadIdx.x] = sum;
  for (int half = kRows / 2; half > 0; half /= 2) {
    __syncthreads();
    if (row >= half) continue;
    const float2 part = sums[threadIdx.x + half * kColumns];
    sum.x += part.x;
    sum.y += part.y;
    sums[threadIdx.x] = sum;
  }
  if (row != 0 || channel >= job.channels) return;
  job.bias[channel] = sum.x;
  job.weight[channel] = sum.y;
}

}  // namespace cm::group_norm_cuda
