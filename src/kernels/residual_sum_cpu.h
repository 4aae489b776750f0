// The pass of cm/kernels/residual_sum.h over fp32 arrays in host memory, compiled for each kind of
// processor.
#pragma once

#include "residual_sum_images.h"

namespace cm::residual_sum_cpu {

void write(const ResidualImages<float>& images);

}  // namespace cm::residual_sum_cpu
