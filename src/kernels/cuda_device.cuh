// What the kernels for GPUs are written in, besides CUDA's own words. nvcc compiles this for devices; the
// tests compile it for the host, with tests/kernels/cuda_on_host.h before it.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <initializer_list>

#include "cuda_number.h"

namespace cm::cuda {

// choose.template operator()<T>() of the numbers' type.
template <class Choose>
auto by_number(Number number, const Choose& choose) {
  switch (number) {
    case Number::fp16:
      return choose.template operator()<__half>();
    case Number::bf16:
      return choose.template operator()<__nv_bfloat16>();
    case Number::fp32:
      break;
  }
  return choose.template operator()<float>();
}

// choose.template operator()<T, vector>(): of the numbers' type, and as many of them as a vector holds where
// rows of `row` numbers are whole vectors and all arrays begin at one; else of one.
template <class Choose>
void by_vector(Number number, int64_t row, std::initializer_list<const void*> arrays, const Choose& choose) {
  by_number(number, [&]<class T>() {
    bool whole = row * static_cast<int64_t>(sizeof(T)) % kVectorBytes == 0;
    for (const void* array : arrays) whole = whole && is_aligned(array);
    if (whole) {
      choose.template operator()<T, kVectorBytes / sizeof(T)>();
    } else {
      choose.template operator()<T, 1>();
    }
  });
}

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffff;

__device__ inline float to_float(float x) {
  return x;
}
__device__ inline float to_float(__half x) {
  return __half2float(x);
}
__device__ inline float to_float(__nv_bfloat16 x) {
  return __bfloat162float(x);
}

__device__ inline void assign(float& to, float x) {
  to = x;
}
__device__ inline void assign(__half& to, float x) {
  to = __float2half_rn(x);
}
__device__ inline void assign(__nv_bfloat16& to, float x) {
  to = __float2bfloat16_rn(x);
}

// Numbers that one instruction loads or stores, at a multiple of their size.
template <class T, int count>
struct alignas(sizeof(T) * count) Pack {
  T values[count];
};

template <class T, int count>
__device__ inline Pack<T, count> load(const T* x) {
  return *reinterpret_cast<const Pack<T, count>*>(x);
}

template <class T, int count>
__device__ inline void store(T* x, const Pack<T, count>& pack) {
  *reinterpret_cast<Pack<T, count>*>(x) = pack;
}

// The block's shared memory, as many bytes as its launch asked for.
__device__ inline float* shared_memory() {
  extern __shared__ float4 shared_memory_of_the_block[];  // NOLINT(readability-redundant-declaration)
  return reinterpret_cast<float*>(shared_memory_of_the_block);
}

// Over each `lanes` neighbouring threads, a power of two; all of the warp's threads call it, and all get the
// sum.
__device__ inline float sum_of_lanes(float x, int lanes) {
  for (int distance = lanes / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(kAllLanes, x, distance);
  return x;
}

}  // namespace cm::cuda
