// The kernels of multi_tensor_cuda.h. A block takes one chunk of one array in each list.
#pragma once

#include "adam_update.h"
#include "multi_tensor_block.cuh"

namespace cm::multi_tensor_cuda {

struct SquaresJob {
  Table table;
  double* sums;  // one a block
};

struct Squares {
  const float* x;
  double sum = 0;

  template <int count>
  __device__ void at(int i) {
    const auto loaded = cuda::load<float, count>(x + i);
    for (int k = 0; k < count; ++k) {
      const auto number = static_cast<double>(loaded.values[k]);
      sum += number * number;
    }
  }
};

static __global__ void __launch_bounds__(kThreads) sum_squares(const __grid_constant__ SquaresJob job) {
  const Chunk chunk = chunk_of_block(job.table);
  Squares squares{.x = chunk_in(job.table, 0, chunk)};
  each(chunk, squares);
  const double sum = sum_of_block(squares.sum);
  if (threadIdx.x == 0) job.sums[blockIdx.x] = sum;
}

struct RootJob {
  const double* sums;
  int64_t count;
  float* norm;
};

// By one block.
static __global__ void __launch_bounds__(kThreads) root_of_sum(const __grid_constant__ RootJob job) {
  double sum = 0;
#pragma unroll 4
  for (int64_t i = static_cast<int64_t>(threadIdx.x); i < job.count; i += kThreads) sum += job.sums[i];
  sum = sum_of_block(sum);
  if (threadIdx.x == 0) *job.norm = static_cast<float>(sqrt(sum));
}

struct ScalarsJob {
  AdamRule rule;
  AdamNumberPointers numbers;
  AdamScalars* scalars;
};

// By one thread: powers in double are too dear for all of them.
static __global__ void __launch_bounds__(kThreads) set_scalars(const __grid_constant__ ScalarsJob job) {
  if (threadIdx.x != 0) return;
  const AdamUpdate update =
      adam_update_at(job.rule, *job.numbers.updates, *job.numbers.lr, *job.numbers.factor);
  *job.scalars = {.factor = static_cast<float>(update.factor),
                  .added_decay = static_cast<float>(update.added_decay),
                  .shrink = static_cast<float>(update.shrink),
                  .rest1 = static_cast<float>(1 - update.beta1),
                  .beta2 = static_cast<float>(update.beta2),
                  .rest2 = static_cast<float>(1 - update.beta2),
                  .inverse_root = static_cast<float>(1 / update.root),
                  .eps = static_cast<float>(update.eps),
                  .step = static_cast<float>(update.step),
                  .adaptive = update.adaptive,
                  .usable = *job.numbers.usable};
}

struct AdamJob {
  Table table;
  const AdamScalars* scalars;
};

struct Adam {
  AdamScalars scalars;
  float* theta;
  const float* gradient;
  float* first;
  float* second;

  template <int count>
  __device__ void at(int i) const {
    auto t = cuda::load<float, count>(theta + i);
    const auto given = cuda::load<float, count>(gradient + i);
    auto m = cuda::load<float, count>(first + i);
    auto v = cuda::load<float, count>(second + i);
    for (int k = 0; k < count; ++k) {
      const float g = scalars.factor * given.values[k] + scalars.added_decay * t.values[k];
      m.values[k] += scalars.rest1 * (g - m.values[k]);
      v.values[k] = scalars.beta2 * v.values[k] + scalars.rest2 * g * g;
      const float change = scalars.adaptive
                               ? m.values[k] / (sqrtf(v.values[k]) * scalars.inverse_root + scalars.eps)
                               : m.values[k];
      t.values[k] = scalars.shrink * t.values[k] - scalars.step * change;
    }
    cuda::store(theta + i, t);
    cuda::store(first + i, m);
    cuda::store(second + i, v);
  }
};

static __global__ void __launch_bounds__(kThreads) update_adam(const __grid_constant__ AdamJob job) {
  const AdamScalars scalars = *job.scalars;
  if (!scalars.usable) return;
  const Chunk chunk = chunk_of_block(job.table);
  const Adam adam{.scalars = scalars,
                  .theta = chunk_in(job.table, 0, chunk),
                  .gradient = chunk_in(job.table, 1, chunk),
                  .first = chunk_in(job.table, 2, chunk),
                  .second = chunk_in(job.table, 3, chunk)};
  each(chunk, adam);
}

struct AveragesJob {
  Table table;
  const bool* usable;
  const double* rates[kMostLists - 1];
};

static_assert(sizeof(AveragesJob) <= 4096 && sizeof(AdamJob) <= 4096 && sizeof(SquaresJob) <= 4096);

// From the nearer end, as torch::lerp, so that the error is one of the difference.
__device__ inline float averaged(float average, float theta, double rate) {
  if (rate == 0) return theta;
  const float difference = theta - average;
  return rate > 0.5 ? average + static_cast<float>(1 - rate) * difference
                    : theta - static_cast<float>(rate) * difference;
}

struct Averages {
  const AveragesJob& job;
  const Chunk& chunk;
  const double* rates;
  const float* theta;

  template <int count>
  __device__ void at(int i) const {
    const auto t = cuda::load<float, count>(theta + i);
    for (int list = 1; list < job.table.lists; ++list) {
      float* const place = chunk_in(job.table, list, chunk) + i;
      auto average = cuda::load<float, count>(place);
      for (int k = 0; k < count; ++k) {
        average.values[k] = averaged(average.values[k], t.values[k], rates[list - 1]);
      }
      cuda::store(place, average);
    }
  }
};

inline constexpr size_t kRateBytes = kMostLists * sizeof(double);

static __global__ void __launch_bounds__(kThreads) update_all(const __grid_constant__ AveragesJob job) {
  if (!*job.usable) return;
  auto* const rates = reinterpret_cast<double*>(cuda::shared_memory());
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < job.table.lists - 1) rates[thread] = *job.rates[thread];
  __syncthreads();
  const Chunk chunk = chunk_of_block(job.table);
  const Averages averages{.job = job, .chunk = chunk, .rates = rates, .theta = chunk_in(job.table, 0, chunk)};
  each(chunk, averages);
}

}  // namespace cm::multi_tensor_cuda
