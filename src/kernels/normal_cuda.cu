#include "normal_cuda.h"

#include "cuda_launch.cuh"
#include "normal_kernels.cuh"

namespace cm::normal_cuda {

const char* fill(const NormalRows& rows, cuda::Stream stream) {
  launch_fill(cuda::StreamLaunch<kThreads>{stream}, rows);
  return cuda::launch_error();
}

}  // namespace cm::normal_cuda
