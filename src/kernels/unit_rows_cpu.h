// The passes of cm/kernels/unit_rows.h over fp32 arrays in host memory, compiled for each kind of processor.
#pragma once

#include <cstdint>

namespace cm::unit_rows_cpu {

struct Rows {
  const float* x;
  int64_t count;  // of rows
  int64_t width;  // numbers of a row
  float length;   // with the gain
  float epsilon;
};

// y may be x.
void forward(const Rows& rows, float* y);

// dx, and unless null of each row the gradient for `length`.
void backward(const Rows& rows, const float* dy, float* dx, float* dlength);

}  // namespace cm::unit_rows_cpu
