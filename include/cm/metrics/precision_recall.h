// Improved precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991).
//
// A set's manifold is the union of balls around its points, each reaching to the point's k-th nearest other
// point. Precision is the share of samples inside the reference's manifold, recall the share of references
// inside the samples'. Float64 distances pair by pair (no Gram matrix), so that ties between duplicates are
// exact.
#pragma once

#include <cstdint>

#include "cm/base/tensor.h"

namespace cm {

struct PrecisionRecall {
  double precision = 0;
  double recall = 0;
};

// The union of balls around the rows of `points` (float64 [N, D]) with `radii` (float64 [N]).
struct Manifold {
  Tensor points;
  Tensor radii;
};

// That of `features` [N, D]. InputError when N ≤ k or a value isn't finite.
Manifold manifold_of(const Tensor& features, int64_t k);

// The share of the rows of `features` [M, D] that lie inside: precision with samples in the reference's
// manifold, recall the other way round. The memory beyond the features is bounded.
double share_inside(const Tensor& features, const Manifold& manifold);

// Squared distance of every row of `features` [N, D] to its k-th nearest other row: float64 [N]. InputError
// when N ≤ k or a value isn't finite.
Tensor squared_radii(const Tensor& features, int64_t k);

// Both, of `samples` [N, D] and `reference` [M, D], each with more than k rows. Errors as above.
PrecisionRecall precision_recall(const Tensor& samples, const Tensor& reference, int64_t k = 3);

}  // namespace cm
