#include "box_resample_cuda.h"

#include "box_resample_kernels.cuh"
#include "cuda_launch.cuh"

namespace cm::box_resample_cuda {

const char* spread(const BoxImages<void>& images, Number type, cuda::Stream stream) {
  launch_spread(cuda::StreamLaunch<kThreads>{stream}, images, type);
  return cuda::launch_error();
}

const char* gather(const BoxImages<void>& images, Number type, cuda::Stream stream) {
  launch_gather(cuda::StreamLaunch<kThreads>{stream}, images, type);
  return cuda::launch_error();
}

}  // namespace cm::box_resample_cuda
