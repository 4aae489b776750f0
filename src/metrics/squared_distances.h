// Squared Euclidean distances of many pairs at the speed of a matrix product, with a bound on its rounding,
// and the exact ones of the few pairs for which that bound does not decide.
#pragma once

#include "cm/base/tensor.h"

namespace cm {

struct BoundedDistances {
  Tensor values;  // float64 [M, N]: |a|² + |b|² − 2 a·b
  Tensor slack;   // float64 [M, 1]: a pair's distance lies within values ± slack
};

// Of every row of `a` [M, D] to every row of `b` [N, D]; `largest` ≥ |b|² of all rows that these are compared
// with.
BoundedDistances bounded_squared_distances(const Tensor& a, const Tensor& b, const Tensor& largest);

// Of row i of `a` [M, D] and row i of `b` [M, D], by differences: float64 [M]. The same for (a, b) as for (b,
// a) and for any M, so that equal pairs tie exactly.
Tensor squared_distances(const Tensor& a, const Tensor& b);

}  // namespace cm
