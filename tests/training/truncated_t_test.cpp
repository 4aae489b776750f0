#include "src/training/truncated_t.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "support/closeness.h"

namespace cm {
namespace {

Tensor shares() {
  return torch::arange(0, 1000, torch::kFloat64) / 1000;
}

// The share of the distribution below x, by its distribution function before it was cut.
template <class Cdf>
Tensor share_below(const Cdf& cdf, const Tensor& x, double lower, double upper) {
  const double first = cdf(lower);
  Tensor shares = torch::empty_like(x);
  for (int64_t i = 0; i < x.numel(); ++i) {
    shares[i] = (cdf(x[i].template item<double>()) - first) / (cdf(upper) - first);
  }
  return shares;
}

template <class Cdf>
void expect_quantiles_of(const StudentT& whole, const Cdf& standard, double lower, double upper,
                         double tolerance) {
  const auto cdf = [&](double x) { return standard((x - whole.mean) / whole.scale); };
  const Tensor x = TruncatedT(whole, lower, upper).quantile(shares());
  EXPECT_LT(test::largest_difference(share_below(cdf, x, lower, upper), shares()), tolerance)
      << whole.degrees;
  EXPECT_NEAR(x[0].item<double>(), lower, 1e-12);
  EXPECT_TRUE((x.diff() > 0).all().item<bool>());
}

double cauchy(double x) {
  return std::atan(x) / std::numbers::pi;
}

double of_two_degrees(double x) {
  return x / (2 * std::sqrt(2 + x * x));
}

double of_three_degrees(double x) {
  const double s = x / std::sqrt(3.0);
  return (s / (1 + s * s) + std::atan(s)) / std::numbers::pi;
}

double normal_cdf(double x) {
  return std::erf(x / std::numbers::sqrt2) / 2;
}

TEST(TruncatedT, InvertsTheDistributionsThatHaveAClosedForm) {
  for (const auto& [lower, upper] : {std::pair(0.0, 4.4), {-1.0, 0.5}, {0.3, 0.30001}}) {
    expect_quantiles_of({1, 0, 0.2}, cauchy, lower, upper, 1e-10);
    expect_quantiles_of({1, -0.7, 1.5}, cauchy, lower, upper, 1e-10);
    expect_quantiles_of({2, 0.4, 0.6}, of_two_degrees, lower, upper, 1e-10);
    expect_quantiles_of({3, 0, 0.2}, of_three_degrees, lower, upper, 1e-10);
  }
  // Towards a normal distribution, from which it differs by 1/ν.
  expect_quantiles_of({1000, 0.4, 0.6}, normal_cdf, -1.0, 1.0, 2e-3);
}

// TCM's distribution has no closed form: its density integrated in x, by the trapezoid rule on a grid that is
// fine where the density is large.
TEST(TruncatedT, InvertsTheIntegralOfItsDensityAtAHundredthOfADegree) {
  const StudentT whole{0.01, 0, 0.2};
  const double upper = std::log(80);
  const Tensor x = torch::cat({torch::zeros({1}, torch::kFloat64),
                               torch::logspace(-9, std::log10(upper), 400'000, 10, torch::kFloat64)});
  const Tensor density = (1 + (x / whole.scale).square() / whole.degrees).pow(-(whole.degrees + 1) / 2);
  const Tensor integral = torch::cumulative_trapezoid(density, x);
  const Tensor expected = integral / integral[-1].item<double>();
  const TruncatedT cut(whole, 0, upper);
  for (int64_t i = 1000; i < expected.numel(); i += 7919) {
    const Tensor found = cut.quantile(expected.narrow(0, i, 1));
    EXPECT_NEAR(found.item<double>(), x[i + 1].item<double>(), 1e-8 * (1 + x[i + 1].item<double>()));
  }
}

// Half of the levels that TCM trains at lie between t′ = 1 and 1.22.
TEST(TruncatedT, HasTheMedianThatScipyGives) {
  const TruncatedT cut({0.01, 0, 0.2}, 0, std::log(80));
  const Tensor x = cut.quantile(torch::tensor({0.1, 0.5, 0.9}, torch::kFloat64));
  const Tensor scipy =
      torch::tensor({0.012595064512054211, 0.19979299973283626, 2.3460633599936775}, torch::kFloat64);
  EXPECT_LT(test::elementwise_difference(x, scipy), 1e-9);
}

}  // namespace
}  // namespace cm
