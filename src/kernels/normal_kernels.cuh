// The kernel of normal_cuda.h and its launch: launch(kernel, blocks, bytes of shared memory, its argument). A
// thread makes the four numbers of a counter.
#pragma once

#include "cuda_device.cuh"
#include "normal_numbers.h"
#include "normal_rows.h"

namespace cm::normal_cuda {

inline constexpr int kThreads = 256;  // of a block

CM_ON_ANY_DEVICE inline int64_t counters_of_a_row(const NormalRows& rows) {
  return (rows.width + 3) / 4;
}

static __global__ void __launch_bounds__(kThreads) fill_kernel(const __grid_constant__ NormalRows rows) {
  const int64_t of_a_row = counters_of_a_row(rows);
  const int64_t place = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t row = place / of_a_row;
  const int64_t counter = place % of_a_row;
  if (row >= rows.count) return;
  const PhiloxBlock block = philox(rows.seed, rows.counter(row, counter));
  float four[4];
  box_muller(block.words[0], block.words[1], four[0], four[1]);
  box_muller(block.words[2], block.words[3], four[2], four[3]);
  float* const out = rows.out + row * rows.width;
  for (int64_t k = 0; k < 4 && 4 * counter + k < rows.width; ++k) out[4 * counter + k] = four[k];
}

template <class Launch>
void launch_fill(const Launch& launch, const NormalRows& rows) {
  const int64_t threads = rows.count * counters_of_a_row(rows);
  launch(fill_kernel, (threads + kThreads - 1) / kThreads, 0, rows);
}

}  // namespace cm::normal_cuda
