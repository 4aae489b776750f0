// What a launch needs to know of the GPU that it is for, without CUDA's headers.
#pragma once

struct CUstream_st;

namespace cm::cuda {

// Whether the library was built with nvcc. Without it the functions that launch kernels are declared alone,
// and may be called in `if constexpr` only.
#ifdef CM_CUDA_KERNELS
constexpr bool is_built = true;
#else
constexpr bool is_built = false;
#endif

using Stream = CUstream_st*;  // CUDA's cudaStream_t

// Whether this library holds kernels that the current GPU can run.
bool has_kernels();

int multiprocessors(int device);

}  // namespace cm::cuda
