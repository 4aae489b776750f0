#include "cm/diffusion/ddpm_levels.h"

#include <cmath>

namespace cm {
namespace {

// Π_{i ≤ t} (1 − β_i) is b^{t+1} Γ(c + 1)/Γ(c − t), with β_i = β_0 + b i and c = (1 − β_0)/b: no sum over the
// times, which a GPU would not take in a settled order.
Tensor log_alpha_bar(const Tensor& time) {
  const double b = (kDdpmLastBeta - kDdpmFirstBeta) / static_cast<double>(kDdpmTimes - 1);
  const double c = (1 - kDdpmFirstBeta) / b;
  return (time + 1) * std::log(b) + std::lgamma(c + 1) - torch::lgamma(c - time);
}

Tensor log_level(const Tensor& time) {
  return 0.5 * (-log_alpha_bar(time)).expm1().log();
}

}  // namespace

Tensor ddpm_level(const Tensor& time) {
  return log_level(time.to(torch::kFloat64)).exp();
}

Tensor ddpm_time(const Tensor& sigma) {
  const Tensor at = sigma.to(torch::kFloat64).log();
  const Tensor levels = log_level(torch::arange(kDdpmTimes, at.options()));
  const Tensor next = torch::searchsorted(levels, at.detach()).clamp(1, kDdpmTimes - 1);
  const Tensor below = levels.take(next - 1);
  const Tensor time = next - 1 + (at - below) / (levels.take(next) - below);
  return time.clamp(0, kDdpmTimes - 1).to(sigma.scalar_type());
}

SigmaOptions ddpm_sigma() {
  const Tensor ends = ddpm_level(torch::tensor({int64_t{0}, kDdpmTimes - 1}));
  return {.min = ends[0].item<double>(), .max = ends[1].item<double>(), .data = 1};
}

std::vector<double> ddim_sigmas(int64_t n) {
  TORCH_CHECK(1 <= n && n <= kDdpmTimes, "DDIM takes 1 to ", kDdpmTimes, " steps, got ", n);
  const Tensor levels = ddpm_level(torch::arange(n) * (kDdpmTimes / n)).flip(0).contiguous();
  std::vector<double> sigmas(levels.data_ptr<double>(), levels.data_ptr<double>() + n);
  sigmas.push_back(0);
  return sigmas;
}

}  // namespace cm
