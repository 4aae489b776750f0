// What a launch needs to know of the GPU that it is for, without CUDA's headers.
#pragma once

struct CUstream_st;

namespace cm::cuda {

using Stream = CUstream_st*;  // CUDA's cudaStream_t

// Whether this library holds kernels that the current GPU can run.
bool has_kernels();

int multiprocessors(int device);

}  // namespace cm::cuda
