// The passes of cm/kernels/box_resample.h over fp32 arrays in host memory, compiled for each kind of
// processor.
#pragma once

#include "box_resample_images.h"

namespace cm::box_resample_cpu {

// Writes `large`.
void spread(const BoxImages<float>& images);

// Writes `small`.
void gather(const BoxImages<float>& images);

}  // namespace cm::box_resample_cpu
