#include "dropout_cuda.h"

#include "cuda_launch.cuh"
#include "dropout_kernels.cuh"

namespace cm::dropout_cuda {

const char* apply(const DropoutMask& mask, const Images& images, cuda::Stream stream) {
  launch_apply(cuda::StreamLaunch<kThreads>{stream}, mask, images);
  return cuda::launch_error();
}

}  // namespace cm::dropout_cuda
