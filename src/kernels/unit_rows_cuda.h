// The passes of cm/kernels/unit_rows.h over arrays in a GPU's memory; nothing waits for the GPU. Errors are
// returned as CUDA's words for them, null where there is none.
#pragma once

#include <cstdint>

#include "cuda_number.h"
#include "cuda_stream.h"

namespace cm::unit_rows_cuda {

using cuda::Number;

struct Rows {
  Number type;  // of x, y, dy and dx
  const void* x;
  int64_t count;      // of rows
  int64_t width;      // numbers of a row
  const float* gain;  // null: 1
  float length;
  float epsilon;
};

// y may be x.
const char* forward(const Rows& rows, void* y, cuda::Stream stream);

// dx, and unless null of each row the gradient for `gain`.
const char* backward(const Rows& rows, const void* dy, void* dx, float* dgain, cuda::Stream stream);

}  // namespace cm::unit_rows_cuda
