// The pass of cm/kernels/dropout.h in a GPU's memory; nothing waits for the GPU. An error is returned as
// CUDA's words for it, null where there is none.
#pragma once

#include "cuda_number.h"
#include "cuda_stream.h"
#include "dropout_mask.h"

namespace cm::dropout_cuda {

using cuda::Number;

struct Images {
  Number type;
  const void* x;
  void* y;
};

const char* apply(const DropoutMask& mask, const Images& images, cuda::Stream stream);

}  // namespace cm::dropout_cuda
