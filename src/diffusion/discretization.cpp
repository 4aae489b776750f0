#include "cm/diffusion/discretization.h"

#include <cmath>

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {
namespace {

// ε^{1/ρ} and T^{1/ρ}, between which the grid's roots are evenly spaced.
struct Roots {
  double min;
  double max;
};

Roots roots_of(const SigmaOptions& sigma) {
  return {std::pow(sigma.min, 1 / sigma.rho), std::pow(sigma.max, 1 / sigma.rho)};
}

}  // namespace

void validate(const SigmaOptions& sigma, const Complain& complain) {
  if (sigma.max <= sigma.min) {
    complain("max", concat("must be above min (", sigma.min, "), got ", sigma.max));
  }
}

double karras_sigma(const SigmaOptions& sigma, int64_t n, double position) {
  const auto [root_min, root_max] = roots_of(sigma);
  return std::pow(root_max + position / static_cast<double>(n - 1) * (root_min - root_max), sigma.rho);
}

std::vector<double> karras_sigmas(const SigmaOptions& sigma, int64_t n) {
  if (n < 2) throw InputError(concat("a discretization needs at least 2 noise levels, got ", n));
  std::vector<double> sigmas;
  for (int64_t i = 0; i < n; ++i) sigmas.push_back(karras_sigma(sigma, n, static_cast<double>(n - 1 - i)));
  return sigmas;
}

Tensor karras_level(const SigmaOptions& sigma, const Tensor& v) {
  const auto [root_min, root_max] = roots_of(sigma);
  return (root_min + v * (root_max - root_min)).pow(sigma.rho);
}

Tensor karras_slope(const SigmaOptions& sigma, const Tensor& level) {
  const auto [root_min, root_max] = roots_of(sigma);
  return sigma.rho * (root_max - root_min) * level.pow(1 - 1 / sigma.rho);
}

std::vector<double> sampler_sigmas(const SigmaOptions& sigma, int64_t n) {
  if (n < 1) throw InputError(concat("a sampler needs at least 1 step, got ", n));
  if (n == 1) return {sigma.max, 0};
  const std::vector<double> ascending = karras_sigmas(sigma, n);
  std::vector<double> sigmas(ascending.rbegin(), ascending.rend());
  sigmas.push_back(0);
  return sigmas;
}

std::vector<double> sampler_sigmas_fp32(const SigmaOptions& sigma, int64_t n) {
  if (n < 1) throw InputError(concat("a sampler needs at least 1 step, got ", n));
  const auto [root_min, root_max] = roots_of(sigma);
  const Tensor ramp = torch::linspace(0, 1, n, torch::kFloat32);
  const Tensor levels = (root_max + ramp * (root_min - root_max)).pow(sigma.rho).to(torch::kFloat64);
  std::vector<double> sigmas(levels.data_ptr<double>(), levels.data_ptr<double>() + n);
  sigmas.push_back(0);
  return sigmas;
}

}  // namespace cm
