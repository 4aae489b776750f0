// Averages of weights by power functions, of any width, from snapshots of a few. Karras et al. 2024 (EDM2),
// "Analyzing and Improving the Training Dynamics of Diffusion Models", section 3 and appendix C.
//
// After n updates, update t weighs p(t) = (γ + 1)/n (t/n)^γ (Eq. 121): the average's width is a share of the
// training so far, σ_rel, and its start is forgotten exactly.
#pragma once

#include <cstdint>
#include <vector>

namespace cm {

// σ_rel of an exponent γ ≥ 0, the standard deviation of p in units of n (Eq. 123).
double power_std(double exponent);

// The exponent γ of σ_rel in (0, kLargestPowerStd] (Eq. 126).
double power_exponent(double std);

// β of update number k = 0, 1, …, which is the (k + 1)-th (Eq. 127 with Δn = 1): 0 in the first.
double power_rate(double std, int64_t k);

struct PowerProfile {
  double std = 0;    // σ_rel
  int64_t step = 0;  // n, updates so far
};

// ∫ p_a(t) p_b(t) dt (Eq. 151).
double inner_product(const PowerProfile& a, const PowerProfile& b);

struct Combination {
  std::vector<double> coefficients;  // one a snapshot, of sum 1
  double error = 0;                  // ‖Σ coefficient · p_snapshot − p_wanted‖ / ‖p_wanted‖
};

// The profile nearest to `wanted` that the snapshots, of which no two are equal, can be combined to
// (Algorithm 3). InputError where they are too much alike to be told apart.
Combination combine(const std::vector<PowerProfile>& snapshots, const PowerProfile& wanted);

}  // namespace cm
