#include "cm/diffusion/discretization.h"

#include <cmath>

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {

void validate(const NoiseRange& range, const Complain& complain) {
  if (range.sigma_max <= range.sigma_min) {
    complain("sigma_max", concat("must be above sigma_min (", range.sigma_min, "), got ", range.sigma_max));
  }
}

double karras_sigma(const NoiseRange& range, int64_t n, double position) {
  const double root_max = std::pow(range.sigma_max, 1 / range.rho);
  const double root_min = std::pow(range.sigma_min, 1 / range.rho);
  return std::pow(root_max + position / static_cast<double>(n - 1) * (root_min - root_max), range.rho);
}

std::vector<double> karras_sigmas(const NoiseRange& range, int64_t n) {
  if (n < 2) throw InputError(concat("a discretization needs at least 2 noise levels, got ", n));
  std::vector<double> sigmas;
  for (int64_t i = 0; i < n; ++i) sigmas.push_back(karras_sigma(range, n, static_cast<double>(n - 1 - i)));
  return sigmas;
}

std::vector<double> sampler_sigmas(const NoiseRange& range, int64_t n) {
  if (n < 1) throw InputError(concat("a sampler needs at least 1 step, got ", n));
  if (n == 1) return {range.sigma_max, 0};
  const std::vector<double> ascending = karras_sigmas(range, n);
  std::vector<double> sigmas(ascending.rbegin(), ascending.rend());
  sigmas.push_back(0);
  return sigmas;
}

}  // namespace cm
