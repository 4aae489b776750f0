#include "power_average.h"

#include <ATen/ops/linalg_solve_ex.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "cm/base/error.h"
#include "cm/base/tensor.h"

namespace cm {

double power_std(double exponent) {
  return std::sqrt((exponent + 1) / ((exponent + 3) * std::pow(exponent + 2, 2)));
}

// The largest root of γ³ + 7γ² + (16 − t)γ + 12 − t with t = σ_rel⁻². To its right the cubic is convex and
// rises, so Newton's steps from √t, where it is positive, fall to the root and never below.
double power_exponent(double std) {
  const double t = 1 / (std * std);
  double exponent = 1 / std;
  for (double before = INFINITY; exponent < before;) {
    before = exponent;
    const double value = ((exponent + 7) * exponent + 16 - t) * exponent + 12 - t;
    const double slope = (3 * exponent + 14) * exponent + 16 - t;
    exponent -= value / slope;
  }
  return std::max(exponent, 0.0);
}

double power_rate(double std, int64_t k) {
  return std::pow(1 - 1 / static_cast<double>(k + 1), power_exponent(std) + 1);
}

double inner_product(const PowerProfile& a, const PowerProfile& b) {
  const double exponent_a = power_exponent(a.std);
  const double exponent_b = power_exponent(b.std);
  const auto n_a = static_cast<double>(a.step);
  const auto n_b = static_cast<double>(b.step);
  return (exponent_a + 1) * (exponent_b + 1) * std::pow(n_a / n_b, n_a < n_b ? exponent_b : -exponent_a) /
         ((exponent_a + exponent_b + 1) * std::max(n_a, n_b));
}

Combination combine(const std::vector<PowerProfile>& snapshots, const PowerProfile& wanted) {
  const auto count = static_cast<int64_t>(snapshots.size());
  std::vector<double> products;  // of each with each
  std::vector<double> products_wanted;
  for (const PowerProfile& one : snapshots) {
    for (const PowerProfile& other : snapshots) products.push_back(inner_product(one, other));
    products_wanted.push_back(inner_product(one, wanted));
  }
  const Tensor a = torch::tensor(products, torch::kFloat64).view({count, count});
  const Tensor b = torch::tensor(products_wanted, torch::kFloat64);
  const auto [solution, failed] = at::linalg_solve_ex(a, b);
  if (failed.item<int>() != 0 || !solution.isfinite().all().item<bool>()) {
    throw InputError(
        "the snapshots are too much alike to be combined; take them less often (ema.snapshot_every)");
  }
  const Tensor x = solution / solution.sum();
  const double norm = inner_product(wanted, wanted);
  const double distance = norm - 2 * x.dot(b).item<double>() + x.dot(a.mv(x)).item<double>();
  const auto* values = x.const_data_ptr<double>();
  return {std::vector<double>(values, values + count), std::sqrt(std::max(distance, 0.0) / norm)};
}

}  // namespace cm
