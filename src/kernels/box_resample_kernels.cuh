// The kernels of box_resample_cuda.h and their launches: launch(kernel, blocks, bytes of shared memory, its
// argument). A thread takes one vector of `small`, and neighbours what lies side by side.
#pragma once

#include "box_resample_cuda.h"
#include "cuda_device.cuh"

namespace cm::box_resample_cuda {

inline constexpr int kThreads = 256;  // of a block

struct Job {
  BoxImages<void> images;
  uint32_t vectors;  // of `small`
  uint32_t depth;    // vectors of a pixel
  uint32_t width;
};

// Of a vector of `small`, in numbers.
struct BoxPlace {
  uint32_t small;
  uint32_t large;  // above left
  uint32_t right;
  uint32_t below;
};

template <int vector>
__device__ inline BoxPlace place_of(const Job& job, uint32_t number) {
  const uint32_t pixel = number / job.depth;
  const uint32_t row = pixel / job.width;
  const uint32_t column = pixel % job.width;
  const uint32_t large = (row * 4 * job.width + 2 * column) * job.depth + number % job.depth;
  return {number * vector, large * vector, job.depth * vector, 2 * job.width * job.depth * vector};
}

template <class T, int vector>
__global__ void __launch_bounds__(kThreads) spread_kernel(const __grid_constant__ Job job) {
  const uint32_t number = blockIdx.x * kThreads + threadIdx.x;
  if (number >= job.vectors) return;
  const BoxPlace place = place_of<vector>(job, number);
  auto x = cuda::load<T, vector>(static_cast<const T*>(job.images.small) + place.small);
  for (int i = 0; i < vector; ++i) cuda::assign(x.values[i], cuda::to_float(x.values[i]) * job.images.factor);
  T* const y = static_cast<T*>(job.images.large) + place.large;
  cuda::store(y, x);
  cuda::store(y + place.right, x);
  cuda::store(y + place.below, x);
  cuda::store(y + place.below + place.right, x);
}

template <class T, int vector>
__global__ void __launch_bounds__(kThreads) gather_kernel(const __grid_constant__ Job job) {
  const uint32_t number = blockIdx.x * kThreads + threadIdx.x;
  if (number >= job.vectors) return;
  const BoxPlace place = place_of<vector>(job, number);
  const T* const x = static_cast<const T*>(job.images.large) + place.large;
  const auto upper_left = cuda::load<T, vector>(x);
  const auto upper_right = cuda::load<T, vector>(x + place.right);
  const auto lower_left = cuda::load<T, vector>(x + place.below);
  const auto lower_right = cuda::load<T, vector>(x + place.below + place.right);
  cuda::Pack<T, vector> y;
  for (int i = 0; i < vector; ++i) {
    const float above = cuda::to_float(upper_left.values[i]) + cuda::to_float(upper_right.values[i]);
    const float below = cuda::to_float(lower_left.values[i]) + cuda::to_float(lower_right.values[i]);
    cuda::assign(y.values[i], (above + below) * job.images.factor);
  }
  cuda::store(static_cast<T*>(job.images.small) + place.small, y);
}

template <class Launch>
void launch_vectors(const Launch& launch, void (*kernel)(Job), const BoxImages<void>& images,
                    int64_t vector) {
  const int64_t vectors = images.rows() * images.width * images.depth() / vector;
  const Job job{.images = images,
                .vectors = static_cast<uint32_t>(vectors),
                .depth = static_cast<uint32_t>(images.depth() / vector),
                .width = static_cast<uint32_t>(images.width)};
  launch(kernel, (vectors + kThreads - 1) / kThreads, 0, job);
}

template <class Launch>
void launch_spread(const Launch& launch, const BoxImages<void>& images, Number type) {
  cuda::by_vector(type, images.depth(), {images.small, images.large}, [&]<class T, int vector>() {
    launch_vectors(launch, spread_kernel<T, vector>, images, vector);
  });
}

template <class Launch>
void launch_gather(const Launch& launch, const BoxImages<void>& images, Number type) {
  cuda::by_vector(type, images.depth(), {images.small, images.large}, [&]<class T, int vector>() {
    launch_vectors(launch, gather_kernel<T, vector>, images, vector);
  });
}

}  // namespace cm::box_resample_cuda
