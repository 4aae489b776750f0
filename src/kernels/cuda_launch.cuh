// Launches kernels on a stream; for the files that nvcc compiles.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda_stream.h"

namespace cm::cuda {

template <int threads>
struct StreamLaunch {
  Stream stream;

  template <class Job>
  void operator()(void (*kernel)(Job), int64_t blocks, size_t shared_bytes, const Job& job) const {
    kernel<<<static_cast<unsigned>(blocks), threads, shared_bytes, stream>>>(job);
  }
};

// What went wrong in a launch of this thread, if anything did.
inline const char* launch_error() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace cm::cuda
