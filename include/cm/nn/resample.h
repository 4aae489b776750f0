// Halving and doubling the side of images and features.
#pragma once

#include <cstdint>

#include "cm/base/tensor.h"

namespace cm {

enum class Resample { none, up, down };

// The 1-D taps whose outer product, normalised, is the filter.
enum class ResampleFilter {
  box,       // [1, 1]: 2×2 mean down, nearest neighbour up
  binomial,  // [1, 3, 3, 1]: less aliasing (Zhang 2019, arXiv 1904.11486)
};

// x [B, C, H, W] at half or twice the side; beyond the border x counts as 0.
Tensor resample(const Tensor& x, Resample direction, ResampleFilter filter = ResampleFilter::box);

// The binomial filter at every second position of x [B, C, H, W] with `padding` zeros around it: [B, C, H',
// W'] with H' = H/2 + padding − 1. The filter sums to 1.
Tensor binomial_down(const Tensor& x, int64_t padding);

}  // namespace cm
