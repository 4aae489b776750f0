// The kernels of unit_rows_cuda.h and their launches: launch(kernel, blocks, bytes of shared memory, its
// argument). A warp takes a row, so that rows of a few numbers and of thousands are one kernel.
#pragma once

#include "cuda_device.cuh"
#include "unit_rows_cuda.h"

namespace cm::unit_rows_cuda {

inline constexpr int kThreads = 256;  // of a block
inline constexpr int kRowsOfABlock = kThreads / cuda::kWarp;

struct Job {
  Rows rows;
  const void* dy;
  void* out;     // y or dx
  float* dgain;  // of each row
};

// The row of a thread's warp, whose numbers its lanes take in turns.
template <class T>
struct Row {
  const T* x;
  int64_t row;
  int64_t width;
  int lane;

  __device__ explicit Row(const Rows& rows)
      : row(static_cast<int64_t>(blockIdx.x) * kRowsOfABlock + threadIdx.x / cuda::kWarp),
        width(rows.width),
        lane(static_cast<int>(threadIdx.x) % cuda::kWarp) {
    x = static_cast<const T*>(rows.x) + row * width;
  }

  // Σ x b, for all lanes.
  __device__ float product(const T* b) const {
    float sum = 0;
    for (int64_t i = lane; i < width; i += cuda::kWarp) sum += cuda::to_float(x[i]) * cuda::to_float(b[i]);
    return cuda::sum_of_lanes(sum, cuda::kWarp);
  }
};

__device__ inline float length_of(const Rows& rows) {
  return rows.gain == nullptr ? rows.length : rows.length * *rows.gain;
}

template <class T>
__global__ void __launch_bounds__(kThreads) forward_kernel(const __grid_constant__ Job job) {
  const Row<T> row(job.rows);
  if (row.row >= job.rows.count) return;
  T* const y = static_cast<T*>(job.out) + row.row * row.width;
  const float scale = length_of(job.rows) / (sqrtf(row.product(row.x)) + job.rows.epsilon);
  for (int64_t i = row.lane; i < row.width; i += cuda::kWarp) {
    cuda::assign(y[i], cuda::to_float(row.x[i]) * scale);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) backward_kernel(const __grid_constant__ Job job) {
  const Row<T> row(job.rows);
  if (row.row >= job.rows.count) return;
  const T* const dy = static_cast<const T*>(job.dy) + row.row * row.width;
  T* const dx = static_cast<T*>(job.out) + row.row * row.width;
  const float norm = sqrtf(row.product(row.x));
  const float along = row.product(dy) / (norm + job.rows.epsilon);
  if (job.dgain != nullptr && row.lane == 0) job.dgain[row.row] = job.rows.length * along;
  const float scale = length_of(job.rows) / (norm + job.rows.epsilon);
  const float pull = norm > 0 ? scale * along / norm : 0.0F;
  for (int64_t i = row.lane; i < row.width; i += cuda::kWarp) {
    cuda::assign(dx[i], cuda::to_float(dy[i]) * scale - cuda::to_float(row.x[i]) * pull);
  }
}

using Kernel = void (*)(Job);

struct Kernels {
  Kernel forward;
  Kernel backward;
};

template <class T>
Kernels kernels_of() {
  return {.forward = forward_kernel<T>, .backward = backward_kernel<T>};
}

inline Kernels kernels_of(Number type) {
  return cuda::by_number(type, [&]<class T>() { return kernels_of<T>(); });
}

inline int64_t blocks_of(const Rows& rows) {
  return (rows.count + kRowsOfABlock - 1) / kRowsOfABlock;
}

template <class Launch>
void launch_forward(const Launch& launch, const Rows& rows, void* y) {
  launch(kernels_of(rows.type).forward, blocks_of(rows), 0,
         Job{.rows = rows, .dy = nullptr, .out = y, .dgain = nullptr});
}

template <class Launch>
void launch_backward(const Launch& launch, const Rows& rows, const void* dy, void* dx, float* dgain) {
  launch(kernels_of(rows.type).backward, blocks_of(rows), 0,
         Job{.rows = rows, .dy = dy, .out = dx, .dgain = dgain});
}

}  // namespace cm::unit_rows_cuda
