// The pass of cm/kernels/normal.h in host memory, compiled for each kind of processor.
#pragma once

#include "normal_rows.h"

namespace cm::normal_cpu {

void fill(const NormalRows& rows);

}  // namespace cm::normal_cpu
