// Noise levels: the range [σ_min, σ_max] and its Karras discretization (EDM Eq. 5; CM §2).
#pragma once

#include <cstdint>
#include <vector>

#include "cm/base/fields.h"
#include "cm/base/tensor.h"

namespace cm {

// σ_min is the papers' ε, σ_max their T; rho bends the grid (1: uniform in σ).
struct NoiseRange {
  double sigma_min = 0.002;
  double sigma_max = 80.0;
  double rho = 7.0;
};

template <class Visitor>
void fields(Visitor& visit, NoiseRange& o) {
  visit("sigma_min", o.sigma_min, "smallest noise level, the boundary condition's ε", above(0));
  visit("sigma_max", o.sigma_max, "largest noise level, where sampling starts", above(0));
  visit("rho", o.rho, "exponent of the Karras grid", above(0));
}

void validate(const NoiseRange& range, const Complain& complain);

// σ_i = (ε^{1/ρ} + (i−1)/(N−1) (T^{1/ρ} − ε^{1/ρ}))^ρ for i = 1…N, ascending; σ_1 = ε, σ_N = T. N ≥ 2.
std::vector<double> karras_sigmas(const NoiseRange& range, int64_t n);

// The same formula at a fractional position: `position` 0 is σ_max and n − 1 is σ_min (a sampler's index on a grid of n
// levels; progressive distillation also needs the half steps).
double karras_sigma(const NoiseRange& range, int64_t n, double position);

// A sampler's way down: the n levels from σ_max to σ_min, then 0.
std::vector<double> sampler_sigmas(const NoiseRange& range, int64_t n);

}  // namespace cm
