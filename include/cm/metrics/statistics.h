// Mean and covariance of features that arrive in batches.
#pragma once

#include <cstdint>

#include "cm/base/tensor.h"

namespace cm {

// A Gaussian by its moments: float64 mean [D] and covariance [D, D] (divided by n − 1), on one device.
struct GaussianMoments {
  Tensor mean;
  Tensor covariance;
};

// Streaming moments in float64. Batches are joined by their own means and scatter matrices (Chan, Golub &
// LeVeque 1979), so that the result depends on the order and size of the batches by rounding only.
class RunningMoments {
 public:
  // `features` [N, D], floating point, N ≥ 0; every call must bring the same D. InputError when a value isn't
  // finite.
  void add(const Tensor& features);
  // As if the other's batches had been added here.
  void merge(const RunningMoments& other);

  int64_t count() const { return count_; }
  // InputError with fewer than 2 samples, which have no covariance.
  GaussianMoments moments() const;

 private:
  int64_t count_ = 0;
  Tensor mean_;     // [D]
  Tensor scatter_;  // [D, D]: Σ (x − mean)(x − mean)ᵀ
};

// The moments of `features` [N, D], N ≥ 2, in blocks of rows that bound the memory of their float64 copies.
GaussianMoments moments_of(const Tensor& features);

// A root R [D, D] of a covariance: R Rᵀ = C. From the symmetric eigenvalues; those that are 0 within rounding
// count as 0.
Tensor covariance_root(const Tensor& covariance);

}  // namespace cm
