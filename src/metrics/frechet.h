// The Fréchet distance between two Gaussians (Dowson & Landau 1982; as FID by Heusel et al. 2017, arXiv
// 1706.08500):
//
//   d² = ‖m₁ − m₂‖² + tr C₁ + tr C₂ − 2 tr (C₁^½ C₂ C₁^½)^½
//
// The last trace is the sum of the singular values of C₁^½ C₂^½. With symmetric roots it stays real, and
// rank-deficient covariances (fewer samples than dimensions) need no added diagonal.
#pragma once

#include "cm/metrics/statistics.h"

namespace cm {

// A Gaussian with the root of its covariance, which distances of many others to it share.
struct RootedMoments {
  GaussianMoments moments;
  Tensor root;  // covariance_root
};

// InputError when a moment isn't finite.
RootedMoments rooted(const GaussianMoments& moments);

// d² as above (what FID reports), at least 0. InputError when a moment isn't finite; both must have the same
// width. Computed on the first's device.
double frechet_distance(const GaussianMoments& a, const RootedMoments& b);
double frechet_distance(const GaussianMoments& a, const GaussianMoments& b);

}  // namespace cm
