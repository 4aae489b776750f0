// The pass of cm/kernels/dropout.h over fp32 arrays in host memory, compiled for each kind of
// processor.
#pragma once

#include "dropout_mask.h"

namespace cm::dropout_cpu {

void apply(const DropoutMask& mask, const float* x, float* y);

}  // namespace cm::dropout_cpu
