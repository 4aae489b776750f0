// What is told of samples by the manifold of a set, the union of balls around its points, each reaching to
// the point's k-th nearest other point:
//
//   precision and recall  the share of samples inside the reference's, and of references inside the samples'
//                         (Kynkäänniemi et al. 2019, arXiv 1904.06991)
//   density               how many of the reference's balls hold a sample, over k: Σ_j Σ_i 1[Y_j ∈ B_i]/(kM)
//   coverage              the share of the reference's balls that hold any: Σ_i 1[∃ j: Y_j ∈ B_i]/N
//                         (Naeem et al. 2020, arXiv 2002.09797)
//
// A ball's surface belongs to it for the former and not for the latter, as in their authors' code. In
// float64: matrix products decide what their rounding can't change, and the pairs that it could are compared
// by their differences, so that ties, as between duplicates, are exact. The memory beyond the features does
// not grow with the number of points.
#pragma once

#include <cstdint>

#include "cm/base/tensor.h"

namespace cm {

// The union of balls around the rows of `points` [N, D], floating point; `squared_radii` float64 [N].
struct Manifold {
  Tensor points;
  Tensor squared_radii;
  int64_t k = 0;
};

// That of `features` [N, D]. InputError when N ≤ k or a value isn't finite.
Manifold manifold_of(const Tensor& features, int64_t k);

// The share of the rows of `features` [M, D] that lie inside: precision with samples in the reference's
// manifold, recall the other way round.
double share_inside(const Tensor& features, const Manifold& manifold);

struct DensityCoverage {
  double density = 0;
  double coverage = 0;
};

// Of samples `features` [M, D] by the reference's manifold.
DensityCoverage density_coverage(const Tensor& features, const Manifold& manifold);

}  // namespace cm
