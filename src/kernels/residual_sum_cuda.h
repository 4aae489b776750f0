// The pass of cm/kernels/residual_sum.h in a GPU's memory; nothing waits for the GPU. An error is returned as
// CUDA's words for it, null where there is none.
#pragma once

#include "cuda_number.h"
#include "cuda_stream.h"
#include "residual_sum_images.h"

namespace cm::residual_sum_cuda {

using cuda::Number;

// Of fewer than 2³¹ numbers, all of `type`.
const char* write(const ResidualImages<void>& images, Number type, cuda::Stream stream);

}  // namespace cm::residual_sum_cuda
