// Precision and recall together.
#pragma once

#include "src/metrics/manifold.h"

namespace cm::test {

struct PrecisionRecall {
  double precision = 0;
  double recall = 0;
};

// Of `samples` [N, D] and `reference` [M, D], each with more than k rows.
inline PrecisionRecall precision_recall(const Tensor& samples, const Tensor& reference, int64_t k = 3) {
  return {.precision = share_inside(samples, manifold_of(reference, k)),
          .recall = share_inside(reference, manifold_of(samples, k))};
}

}  // namespace cm::test
