// Random subsets of a set's features, for the metrics that average over some.
#pragma once

#include "cm/base/random.h"

namespace cm {

// Draws of an evaluation, Purpose::evaluation, by step: the calibration's begin at 0, those of subsets here.
constexpr uint32_t kKernelDistanceDraws = 1U << 16;
constexpr uint32_t kExtrapolationDraws = 1U << 24;

// `size` different rows of `features` [N, D], size ≤ N, in random order; a function of (seed, step) alone.
Tensor random_rows(const Tensor& features, int64_t size, uint64_t seed, uint32_t step);

}  // namespace cm
