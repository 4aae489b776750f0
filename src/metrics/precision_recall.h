// Improved precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991).
//
// A set's manifold is the union of balls around its points, each reaching to the point's k-th nearest other
// point. Precision is the share of samples inside the reference's manifold, recall the share of references
// inside the samples'. In float64: matrix products decide what their rounding can't change, and the pairs
// that it could are compared by their differences, so that ties, as between duplicates, are exact. The memory
// beyond the features does not grow with the number of points.
#pragma once

#include <cstdint>

#include "cm/base/tensor.h"

namespace cm {

// The union of balls around the rows of `points` [N, D], floating point; `squared_radii` float64 [N].
struct Manifold {
  Tensor points;
  Tensor squared_radii;
};

// That of `features` [N, D]. InputError when N ≤ k or a value isn't finite.
Manifold manifold_of(const Tensor& features, int64_t k);

// The share of the rows of `features` [M, D] that lie inside: precision with samples in the reference's
// manifold, recall the other way round.
double share_inside(const Tensor& features, const Manifold& manifold);

}  // namespace cm
