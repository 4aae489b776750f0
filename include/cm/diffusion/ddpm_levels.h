// The noise levels of DDPM (Ho et al. 2020, arXiv 2006.11239, §4), at which DiT was trained: at the times
// t = 0…999, z_t = √ᾱ_t x + √(1 − ᾱ_t) e with ᾱ_t = Π_{i ≤ t} (1 − β_i) and β_i evenly from 1e−4 to 0.02.
// z_t is x_σ = x + σ e times √ᾱ_t = 1/√(1 + σ²), at σ = √(1/ᾱ_t − 1).
#pragma once

#include <cstdint>
#include <vector>

#include "cm/diffusion/discretization.h"

namespace cm {

inline constexpr int64_t kDdpmTimes = 1000;
inline constexpr double kDdpmFirstBeta = 1e-4;
inline constexpr double kDdpmLastBeta = 0.02;

// σ of times in [0, 999], element by element, in fp64.
Tensor ddpm_level(const Tensor& time);

// The time of a noise level, of σ's shape and dtype: between those of whole numbers in proportion to ln σ,
// and 0 or 999 beyond these.
Tensor ddpm_time(const Tensor& sigma);

// The levels from t = 0 to t = 999, of data of deviation 1.
SigmaOptions ddpm_sigma();

// The levels of n steps of DDIM (arXiv 2010.02502) as published code counts them, at the times
// (n − 1) k, …, 2 k, k, 0 with k = ⌊1000/n⌋, and then 0. 1 ≤ n ≤ 1000.
std::vector<double> ddim_sigmas(int64_t n);

}  // namespace cm
