// Which neighbouring levels of a grid a training sample compares.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "cm/diffusion/discretization.h"

namespace cm {

// Two neighbouring levels a sample, t > r, float64 [B] on the CPU.
struct HostPairs {
  Tensor t;
  Tensor r;
};

// From a uniform number a sample, u [B] in [0, 1), and an ascending grid of N levels:
// n ~ U{1…N−1} (CM Algorithms 2 and 3).
HostPairs uniform_pairs(const std::vector<double>& sigmas, const Tensor& u);

// iCT's p(i) ∝ erf((ln σ_{i+1} − P_mean)/(√2 P_std)) − erf((ln σ_i − P_mean)/(√2 P_std)) (iCT Eq. 9).
HostPairs lognormal_pairs(const std::vector<double>& sigmas, double p_mean, double p_std, const Tensor& u);

// That distribution over the N − 1 pairs of the grid, as a cumulative one that ends at 1.
std::vector<double> lognormal_pair_cdf(const std::vector<double>& sigmas, double p_mean, double p_std);

// A step down the grid with its half step, t > mid > end, float64 [B] on the CPU.
struct HostHalvedSteps {
  Tensor t;
  Tensor mid;
  Tensor end;
};

// Progressive distillation: i ~ U{0…N−1} from u [B] in [0, 1), and of the grid of N steps (N + 1 levels) the
// positions i, i + ½ and i + 1, counted from σ_max.
HostHalvedSteps uniform_halved_steps(const SigmaOptions& sigma, int64_t steps, const Tensor& u);

// The same at given indices i.
HostHalvedSteps halved_steps_at(const SigmaOptions& sigma, int64_t steps,
                                const std::vector<int64_t>& indices);

}  // namespace cm
