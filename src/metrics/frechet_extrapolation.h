// FID∞ (Chong & Forsyth 2020, arXiv 1911.07023, §3): the Fréchet distance of N samples is biased by a term in
// 1/N, so its value for infinitely many samples is where a line through the distances of several N meets 1/N
// = 0.
#pragma once

#include <cstdint>
#include <vector>

#include "frechet.h"

namespace cm {

constexpr int64_t kExtrapolationSizes = 15;  // as the authors
constexpr int64_t kExtrapolationMinimum = 20;

// The squared Fréchet distance of `features` [N, D] to `reference`, extrapolated to N → ∞ by least squares
// over kExtrapolationSizes sizes, evenly spaced from N/10 to N, of random subsets (the seed decides them).
// Can be below 0. InputError when N < kExtrapolationMinimum, or a value isn't finite. The bias of the
// reference's own count remains.
double extrapolated_frechet(const Tensor& features, const RootedMoments& reference, uint64_t seed);

// Where the least-squares line through (x, y) meets x = 0; at least 2 different x.
double intercept_of_line(const std::vector<double>& x, const std::vector<double>& y);

}  // namespace cm
