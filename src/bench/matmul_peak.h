// How fast this device multiplies matrices: the limit that a network's arithmetic is compared with.
#pragma once

#include "cm/bench/measurement.h"

namespace cm {

struct MatmulPeak {
  double gflops_per_second = 0;
  int64_t size = 0;  // side of the square matrices that were fastest
  Repeats repeats;   // of their product
};

// The fastest of square products of several sizes, each repeated for about `seconds` divided by their number.
MatmulPeak measure_matmul_peak(const torch::Device& device, torch::ScalarType dtype, double seconds);

}  // namespace cm
