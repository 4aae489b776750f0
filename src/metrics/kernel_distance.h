// The Kernel Inception Distance (Bińkowski et al. 2018, arXiv 1801.01401, §4): the squared maximum mean
// discrepancy with the kernel k(x, y) = (x·y / D + 1)³, by its unbiased estimator, over random subsets of
// both sets.
#pragma once

#include <cstdint>

#include "cm/base/tensor.h"

namespace cm {

// As the authors and the evaluators since: 100 subsets of 1,000.
struct KernelDistanceOptions {
  int64_t subsets = 100;
  int64_t subset_size = 1000;  // of each set; at most the size of the smaller one
  uint64_t seed = 0;           // decides the subsets
};

struct KernelDistance {
  double mean = 0;       // over the subsets; unbiased, so it can be below 0
  double deviation = 0;  // standard deviation over the subsets (divided by their number)
};

// MMD²_u of all rows of a [M, D] and b [N, D], M and N ≥ 2, floating point; in float64:
//   Σ_{i≠j} k(aᵢ, aⱼ) / (M(M−1)) + Σ_{i≠j} k(bᵢ, bⱼ) / (N(N−1)) − 2 Σ k(aᵢ, bⱼ) / (MN)
double squared_mmd(const Tensor& a, const Tensor& b);

// Of `features` [N, D] and `reference` [M, D]. InputError with fewer than 2 rows in either, and when a value
// isn't finite.
KernelDistance kernel_distance(const Tensor& features, const Tensor& reference,
                               const KernelDistanceOptions& options);

}  // namespace cm
