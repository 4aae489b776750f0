// The kernel of residual_sum_cuda.h and its launch: launch(kernel, blocks, bytes of shared memory, its
// argument). A thread takes one vector; neighbours take what lies side by side.
#pragma once

#include "cuda_device.cuh"
#include "residual_sum_cuda.h"

namespace cm::residual_sum_cuda {

inline constexpr int kThreads = 256;  // of a block

struct Job {
  ResidualImages<void> images;
  uint32_t vectors;
  uint32_t row;  // numbers from channel to channel where channels come first
};

// All numbers of a vector are of one position, or of one channel.
template <class T, int vector, bool last>
__global__ void __launch_bounds__(kThreads) write_kernel(const __grid_constant__ Job job) {
  const uint32_t place = blockIdx.x * kThreads + threadIdx.x;
  if (place >= job.vectors) return;
  const uint32_t number = place * vector;
  const auto channels = static_cast<uint32_t>(job.images.channels);
  const uint32_t channel = last ? number % channels : number / job.row % channels;
  const auto kept = cuda::load<T, vector>(static_cast<const T*>(job.images.kept) + number);
  const auto image = cuda::load<T, vector>(static_cast<const T*>(job.images.image) + number);
  cuda::Pack<T, vector> y;
  for (int i = 0; i < vector; ++i) {
    const float bias = job.images.bias == nullptr ? 0 : job.images.bias[channel + (last ? i : 0)];
    const float sum = cuda::to_float(kept.values[i]) + (cuda::to_float(image.values[i]) + bias);
    cuda::assign(y.values[i], sum * job.images.factor);
  }
  cuda::store(static_cast<T*>(job.images.y) + number, y);
}

template <class T, int vector, class Launch>
void launch_vectors(const Launch& launch, const ResidualImages<void>& images) {
  const int64_t vectors = images.batch * images.channels * images.positions / vector;
  const Job job{.images = images,
                .vectors = static_cast<uint32_t>(vectors),
                .row = static_cast<uint32_t>(images.positions)};
  const auto kernel = images.channels_last ? write_kernel<T, vector, true> : write_kernel<T, vector, false>;
  launch(kernel, (vectors + kThreads - 1) / kThreads, 0, job);
}

template <class Launch>
void launch_write(const Launch& launch, const ResidualImages<void>& images, Number type) {
  const int64_t row = images.channels_last ? images.channels : images.positions;
  cuda::by_vector(type, row, {images.kept, images.image, images.y},
                  [&]<class T, int vector>() { launch_vectors<T, vector>(launch, images); });
}

}  // namespace cm::residual_sum_cuda
