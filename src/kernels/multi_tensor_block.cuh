// How a block of threads finds its chunk of an array, and walks through it.
#pragma once

#include "cuda_device.cuh"
#include "multi_tensor_table.h"

namespace cm::multi_tensor_cuda {

inline constexpr int kVector = 4;  // numbers of 16 bytes

struct Chunk {
  int tensor;
  int64_t first;
  int count;
  bool aligned;  // in every list, to 16 bytes
};

__device__ inline Chunk chunk_of_block(const Table& table) {
  const int block = static_cast<int>(blockIdx.x);
  int tensor = 0;
  int end = table.tensors;
  while (end - tensor > 1) {
    const int middle = (tensor + end) / 2;
    if (table.first_block[middle] <= block) {
      tensor = middle;
    } else {
      end = middle;
    }
  }
  const int64_t first = (block - table.first_block[tensor]) * kChunk;
  const int64_t rest = table.counts[tensor] - first;
  bool aligned = true;
  for (int list = 0; list < table.lists; ++list) {
    aligned = aligned && reinterpret_cast<uintptr_t>(table.pointers[list * table.tensors + tensor]) % 16 == 0;
  }
  return {tensor, first, static_cast<int>(rest < kChunk ? rest : kChunk), aligned};
}

__device__ inline float* chunk_in(const Table& table, int list, const Chunk& chunk) {
  return table.pointers[list * table.tensors + chunk.tensor] + chunk.first;
}

// body.at<count>(i) for `count` numbers from i on, until the block has had them all.
template <class Body>
__device__ void each(const Chunk& chunk, Body& body) {
  const int whole = chunk.aligned ? chunk.count / kVector * kVector : 0;
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread * kVector; i < whole; i += kThreads * kVector) body.template at<kVector>(i);
  for (int i = whole + thread; i < chunk.count; i += kThreads) body.template at<1>(i);
}

// Over all threads of the block, for its first one.
__device__ inline double sum_of_block(double sum) {
  auto* const sums = reinterpret_cast<double*>(cuda::shared_memory());
  const int thread = static_cast<int>(threadIdx.x);
  sums[thread] = sum;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread >= half) continue;
    sum += sums[thread + half];
    sums[thread] = sum;
  }
  return sum;
}

inline constexpr size_t kSumBytes = kThreads * sizeof(double);

}  // namespace cm::multi_tensor_cuda
