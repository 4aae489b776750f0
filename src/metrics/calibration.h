// What a Fréchet distance means: its floor, which even perfect samples don't get below, and a simple model's
// score.
#pragma once

#include <cstdint>

#include "cm/base/tensor.h"

namespace cm {

// Images drawn from the Gaussian over pixels that has the mean and the full covariance of `pixels`
// (uint8 [N, C, H, W], N ≥ 2), clamped to the range of pixels and quantised: uint8 [count, C, H, W]. Image i
// depends on the seed and i alone. InputError when an image has more than 4,096 values, for its covariance
// would not fit.
Tensor gaussian_images(const Tensor& pixels, int64_t count, uint64_t seed);

constexpr int64_t kFloorSplits = 5;

// The Fréchet distance of the set to itself: the mean, over kFloorSplits random splits, of that between two
// disjoint halves. Halves are smaller than the set, so this is an upper estimate of the floor. `features` [N,
// D]; InputError when N < 4.
double frechet_floor(const Tensor& features, uint64_t seed);

}  // namespace cm
