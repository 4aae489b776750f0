// The kernel of dropout_cuda.h and its launch: launch(kernel, blocks, bytes of shared memory, its argument).
// A thread takes four channels of a position; neighbours take what lies side by side.
#pragma once

#include "cuda_device.cuh"
#include "dropout_cuda.h"

namespace cm::dropout_cuda {

inline constexpr int kThreads = 256;  // of a block

struct Job {
  DropoutMask mask;
  Images images;
};

template <class T>
__global__ void __launch_bounds__(kThreads) apply_kernel(const __grid_constant__ Job job) {
  const DropoutMask& mask = job.mask;
  const bool last = mask.channels_last;
  const int64_t place = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t fours = mask.fours();
  const int64_t of_a_sample = fours * mask.positions;
  const int64_t sample = place / of_a_sample;
  if (sample >= mask.batch) return;
  const int64_t rest = place % of_a_sample;
  const int64_t four = last ? rest % fours : rest / mask.positions;
  const int64_t position = last ? rest / fours : rest % mask.positions;
  const PhiloxBlock block =
      philox(static_cast<uint64_t>(mask.keys[sample]), mask.counter(four * mask.positions + position));
  const T* const x = static_cast<const T*>(job.images.x);
  T* const y = static_cast<T*>(job.images.y);
  const int64_t start = sample * mask.channels * mask.positions;
  for (int64_t k = 0; k < 4 && 4 * four + k < mask.channels; ++k) {
    const int64_t channel = 4 * four + k;
    const int64_t i =
        start + (last ? position * mask.channels + channel : channel * mask.positions + position);
    const float kept = cuda::to_float(x[i]) * mask.scale;
    cuda::assign(y[i], mask.keeps(block.words[k]) ? kept : 0.0F);
  }
}

template <class Launch>
void launch_apply(const Launch& launch, const DropoutMask& mask, const Images& images) {
  const int64_t threads = mask.batch * mask.fours() * mask.positions;
  const auto kernel = cuda::by_number(images.type, [&]<class T>() { return apply_kernel<T>; });
  launch(kernel, (threads + kThreads - 1) / kThreads, 0, Job{.mask = mask, .images = images});
}

}  // namespace cm::dropout_cuda
