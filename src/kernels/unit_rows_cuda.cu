#include "unit_rows_cuda.h"

#include "cuda_launch.cuh"
#include "unit_rows_kernels.cuh"

namespace cm::unit_rows_cuda {

const char* forward(const Rows& rows, void* y, cuda::Stream stream) {
  launch_forward(cuda::StreamLaunch<kThreads>{stream}, rows, y);
  return cuda::launch_error();
}

const char* backward(const Rows& rows, const void* dy, void* dx, float* dgain, cuda::Stream stream) {
  launch_backward(cuda::StreamLaunch<kThreads>{stream}, rows, dy, dx, dgain);
  return cuda::launch_error();
}

}  // namespace cm::unit_rows_cuda
