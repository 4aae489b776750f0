// The pass of cm/kernels/normal.h in a GPU's memory; nothing waits for the GPU. An error is returned as
// CUDA's words for it, null where there is none.
#pragma once

#include "cuda_stream.h"
#include "normal_rows.h"

namespace cm::normal_cuda {

const char* fill(const NormalRows& rows, cuda::Stream stream);

}  // namespace cm::normal_cuda
