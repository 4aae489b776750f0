// The passes of cm/kernels/box_resample.h in a GPU's memory; nothing waits for the GPU. Errors are returned
// as CUDA's words for them, null where there is none.
#pragma once

#include "box_resample_images.h"
#include "cuda_number.h"
#include "cuda_stream.h"

namespace cm::box_resample_cuda {

using cuda::Number;

// Of fewer than 2³¹ numbers in `large`, all of `type`. The first writes `large`, the second `small`.
const char* spread(const BoxImages<void>& images, Number type, cuda::Stream stream);
const char* gather(const BoxImages<void>& images, Number type, cuda::Stream stream);

}  // namespace cm::box_resample_cuda
