// The Inception Score (Salimans et al. 2016, arXiv 1606.03498, §4): exp( E_x KL( p(y|x) ‖ p(y) ) ).
#pragma once

#include <cstdint>

#include "cm/base/tensor.h"

namespace cm {

constexpr int64_t kInceptionSplit = 5000;  // rows of a chunk in the official release's evaluator

// `probabilities` [N, classes], rows ≥ 0 that sum to 1. The mean of the score over consecutive chunks of
// `split` ≥ 1 rows (the last may be short), p(y) being the chunk's mean; in float64. InputError when there
// are no rows, or one isn't a distribution.
double inception_score(const Tensor& probabilities, int64_t split = kInceptionSplit);

}  // namespace cm
