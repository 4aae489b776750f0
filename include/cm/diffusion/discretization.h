// Noise levels: their range and its Karras discretization (EDM Eq. 5; CM §2).
#pragma once

#include <cstdint>
#include <vector>

#include "cm/base/fields.h"
#include "cm/base/tensor.h"

namespace cm {

// What the papers call ε (min), T (max), σ_data (data) and ρ, which bends the grid (1: uniform in σ).
struct SigmaOptions {
  double min = 0.002;
  double max = 80.0;
  double data = 0.5;
  double rho = 7.0;
};

template <class Visitor>
void fields(Visitor& visit, SigmaOptions& o) {
  visit("min", o.min, "smallest noise level ε, of the boundary condition f(x, ε) = x", above(0));
  visit("max", o.max, "largest noise level T, where sampling starts", above(0));
  visit("data", o.data, "standard deviation of the data", above(0));
  visit("rho", o.rho, "exponent of the Karras grid", above(0));
}

void validate(const SigmaOptions& sigma, const Complain& complain);

// σ_i = (ε^{1/ρ} + (i−1)/(N−1) (T^{1/ρ} − ε^{1/ρ}))^ρ for i = 1…N, ascending; σ_1 = ε, σ_N = T. N ≥ 2.
std::vector<double> karras_sigmas(const SigmaOptions& sigma, int64_t n);

// The same formula at a fractional position: `position` 0 is σ_max and n − 1 is σ_min (a sampler's index on a
// grid of n levels; progressive distillation also needs the half steps).
double karras_sigma(const SigmaOptions& sigma, int64_t n, double position);

// The grid in the limit of many levels: the level at the fraction v of its way from ε to T, 0 ≤ v ≤ 1,
//   σ(v) = (ε^{1/ρ} + v (T^{1/ρ} − ε^{1/ρ}))^ρ,
// and its slope there, dσ/dv = ρ (T^{1/ρ} − ε^{1/ρ}) σ^{1 − 1/ρ}. Element by element.
Tensor karras_level(const SigmaOptions& sigma, const Tensor& v);
Tensor karras_slope(const SigmaOptions& sigma, const Tensor& level);

// A sampler's way down: the n levels from σ_max to σ_min, then 0.
std::vector<double> sampler_sigmas(const SigmaOptions& sigma, int64_t n);

// The same with the rounding of the official release, which computes them in fp32 (79.99998 for 80,
// 0.0019999996 for 0.002): a network's time, 250 ln σ, makes its errors of 1e-6 in σ visible in the images.
std::vector<double> sampler_sigmas_fp32(const SigmaOptions& sigma, int64_t n);

}  // namespace cm
