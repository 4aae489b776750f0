#include "residual_sum_cuda.h"

#include "cuda_launch.cuh"
#include "residual_sum_kernels.cuh"

namespace cm::residual_sum_cuda {

const char* write(const ResidualImages<void>& images, Number type, cuda::Stream stream) {
  launch_write(cuda::StreamLaunch<kThreads>{stream}, images, type);
  return cuda::launch_error();
}

}  // namespace cm::residual_sum_cuda
