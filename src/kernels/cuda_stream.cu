#include "cuda_stream.h"

#include <cuda_runtime.h>

namespace cm::cuda {
namespace {

__global__ void nothing() {}

}  // namespace

bool has_kernels() {
  cudaFuncAttributes attributes;
  const bool found = cudaFuncGetAttributes(&attributes, nothing) == cudaSuccess;
  if (!found) cudaGetLastError();  // so that the next launch does not seem to have failed
  return found;
}

int multiprocessors(int device) {
  int count = 1;
  cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return count;
}

}  // namespace cm::cuda
