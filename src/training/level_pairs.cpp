#include "level_pairs.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cm {
namespace {

// Pair i of an ascending grid is (σ_{i+2}, σ_{i+1}), i = 0…N−2: its larger and its smaller level.
HostPairs pairs_at(const std::vector<double>& sigmas, const std::vector<int64_t>& indices) {
  std::vector<double> t;
  std::vector<double> r;
  for (const int64_t i : indices) {
    r.push_back(sigmas[static_cast<size_t>(i)]);
    t.push_back(sigmas[static_cast<size_t>(i) + 1]);
  }
  return {torch::tensor(t, torch::kFloat64), torch::tensor(r, torch::kFloat64)};
}

// Uniform on {0…count − 1} where u is uniform on [0, 1).
std::vector<int64_t> uniform_indices(const Tensor& u, size_t count) {
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < u.numel(); ++i) {
    indices.push_back(static_cast<int64_t>(std::floor(u.data_ptr<double>()[i] * static_cast<double>(count))));
  }
  return indices;
}

}  // namespace

HostPairs uniform_pairs(const std::vector<double>& sigmas, const Tensor& u) {
  return pairs_at(sigmas, uniform_indices(u, sigmas.size() - 1));
}

std::vector<double> lognormal_pair_cdf(const std::vector<double>& sigmas, double p_mean, double p_std) {
  std::vector<double> at_level;
  for (const double sigma : sigmas) {
    at_level.push_back(std::erf((std::log(sigma) - p_mean) / (std::numbers::sqrt2 * p_std)));
  }
  std::vector<double> cdf;
  for (size_t i = 1; i < at_level.size(); ++i) {
    cdf.push_back((at_level[i] - at_level.front()) / (at_level.back() - at_level.front()));
  }
  return cdf;
}

HostPairs lognormal_pairs(const std::vector<double>& sigmas, double p_mean, double p_std, const Tensor& u) {
  const std::vector<double> cdf = lognormal_pair_cdf(sigmas, p_mean, p_std);
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < u.numel(); ++i) {
    const auto place = std::ranges::upper_bound(cdf, u.data_ptr<double>()[i]);
    indices.push_back(std::min<int64_t>(place - cdf.begin(), static_cast<int64_t>(cdf.size()) - 1));
  }
  return pairs_at(sigmas, indices);
}

HostHalvedSteps uniform_halved_steps(const SigmaOptions& sigma, int64_t steps, const Tensor& u) {
  return halved_steps_at(sigma, steps, uniform_indices(u, static_cast<size_t>(steps)));
}

HostHalvedSteps halved_steps_at(const SigmaOptions& sigma, int64_t steps,
                                const std::vector<int64_t>& indices) {
  const auto levels = [&](double offset) {
    std::vector<double> values;
    for (const int64_t i : indices) {
      values.push_back(karras_sigma(sigma, steps + 1, static_cast<double>(i) + offset));
    }
    return torch::tensor(values, torch::kFloat64);
  };
  return {levels(0), levels(0.5), levels(1)};
}

}  // namespace cm
