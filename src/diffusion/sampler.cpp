#include "cm/diffusion/sampler.h"

#include <algorithm>
#include <cmath>

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {
namespace {

Tensor filled(const Tensor& like, double sigma) {
  return torch::full({like.size(0)}, sigma, like.options());
}

// A step between two host-side levels.
Tensor step_down(Solver solver, const Denoiser& denoiser, const Tensor& x, double sigma, double sigma_next) {
  return solver_step(sigma_next > 0 ? solver : rule_to_zero(solver), denoiser, x, filled(x, sigma),
                     filled(x, sigma_next));
}

}  // namespace

Tensor sample_onestep(const Denoiser& consistency, const Tensor& x_T, double sigma_max) {
  return consistency(x_T, filled(x_T, sigma_max));
}

Tensor sample_multistep(const Denoiser& consistency, const Tensor& x_T, const std::vector<double>& times,
                        double sigma_min, const NoiseSource& noise) {
  Tensor x = x_T;
  for (size_t i = 0; i + 1 < times.size(); ++i) {
    x = consistency(x, filled(x, times[i]));
    const double scale = added_noise(times[i + 1], sigma_min);
    if (scale > 0) x = x + scale * noise(static_cast<int64_t>(i));
  }
  return x;
}

Tensor sample_flow_map(const FlowMap& map, const Tensor& x_T, const std::vector<double>& times,
                       double restart, const NoiseSource& noise) {
  Tensor x = x_T;
  for (size_t i = 0; i + 1 < times.size(); ++i) {
    const double to = std::sqrt(1 - restart * restart) * times[i + 1];
    x = map(x, filled(x, times[i]), filled(x, to));
    const double added = restart * times[i + 1];
    if (added > 0) x = x + added * noise(static_cast<int64_t>(i));
  }
  return x;
}

double added_noise(double sigma, double sigma_min) {
  return std::sqrt(std::max(0.0, sigma * sigma - sigma_min * sigma_min));
}

Tensor sample_ode(Solver solver, const Denoiser& denoiser, const Tensor& x_T,
                  const std::vector<double>& sigmas) {
  return sample_churned(solver, denoiser, x_T, sigmas, {}, {});
}

Tensor sample_churned(Solver solver, const Denoiser& denoiser, const Tensor& x_T,
                      const std::vector<double>& sigmas, const Churn& churn, const NoiseSource& noise) {
  const auto steps = static_cast<double>(sigmas.size() - 1);
  const double full_gamma = std::min(churn.s_churn / steps, std::sqrt(2.0) - 1);
  Tensor x = x_T;
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const bool in_range = churn.s_tmin <= sigmas[i] && sigmas[i] <= churn.s_tmax;
    const double sigma_hat = sigmas[i] * (1 + (in_range ? full_gamma : 0));
    if (sigma_hat > sigmas[i]) {
      const double added = std::sqrt(sigma_hat * sigma_hat - sigmas[i] * sigmas[i]);
      x = x + added * churn.s_noise * noise(static_cast<int64_t>(i));
    }
    x = step_down(solver, denoiser, x, sigma_hat, sigmas[i + 1]);
  }
  return x;
}

Tensor sample_ancestral(const Denoiser& denoiser, const Tensor& x_T, const std::vector<double>& sigmas,
                        const NoiseSource& noise) {
  Tensor x = x_T;
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double from = sigmas[i] * sigmas[i];
    const double to = sigmas[i + 1] * sigmas[i + 1];
    const double sigma_up = std::min(sigmas[i + 1], std::sqrt(to * (from - to) / from));
    const double sigma_down = std::sqrt(to - sigma_up * sigma_up);
    x = step_down(Solver::euler, denoiser, x, sigmas[i], sigma_down);
    if (sigma_up > 0) x = x + sigma_up * noise(static_cast<int64_t>(i));
  }
  return x;
}

std::vector<double> multistep_sigmas(const SigmaOptions& sigma, int64_t steps, int64_t grid) {
  if (steps < 1 || steps > grid) {
    throw InputError(
        concat("multistep sampling on a grid of ", grid, " levels takes 1 to ", grid, " steps, got ", steps));
  }
  std::vector<double> sigmas;
  for (int64_t j = 0; j < steps; ++j) {
    sigmas.push_back(karras_sigma(sigma, grid, static_cast<double>(j * (grid / steps))));
  }
  return sigmas;
}

std::vector<double> flow_map_sigmas(const Path& path, double sigma_max, int64_t steps) {
  const double start = path.time(torch::tensor(sigma_max, torch::kFloat64)).item<double>();
  const Tensor times = start * (1 - torch::arange(steps + 1, torch::kFloat64) / steps);
  const Tensor sigmas = path.level(times);
  std::vector<double> levels(sigmas.data_ptr<double>(), sigmas.data_ptr<double>() + steps + 1);
  levels.front() = sigma_max;
  return levels;
}

}  // namespace cm
