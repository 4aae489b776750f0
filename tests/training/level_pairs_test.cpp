#include "cm/training/level_pairs.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cm/diffusion/discretization.h"

namespace cm {
namespace {

TEST(LevelPairs, UniformNumbersSpreadOverThePairs) {
  const std::vector<double> grid = {1, 2, 4, 8};
  const auto [t, r] = uniform_pairs(grid, torch::tensor({0.0, 0.33, 0.34, 0.99}, torch::kFloat64));
  EXPECT_TRUE(torch::equal(r, torch::tensor({1.0, 1.0, 2.0, 4.0}, torch::kFloat64)));
  EXPECT_TRUE(torch::equal(t, torch::tensor({2.0, 2.0, 4.0, 8.0}, torch::kFloat64)));
}

TEST(LevelPairs, LogNormalPairsInvertTheirCdf) {
  const auto grid = karras_sigmas({}, 11);
  const auto cdf = lognormal_pair_cdf(grid, -1.1, 2);
  const Tensor u = torch::tensor({0.0, cdf[3] - 1e-9, cdf[3] + 1e-9, 1 - 1e-12}, torch::kFloat64);
  const auto [t, r] = lognormal_pairs(grid, -1.1, 2, u);
  EXPECT_TRUE(torch::equal(r, torch::tensor({grid[0], grid[3], grid[4], grid[9]}, torch::kFloat64)));
  EXPECT_TRUE(torch::equal(t, torch::tensor({grid[1], grid[4], grid[5], grid[10]}, torch::kFloat64)));
}

TEST(LevelPairs, TheLogNormalCdfIsADistribution) {
  const auto grid = karras_sigmas({}, 11);
  const double mean = -1.1;
  const double std = 2;
  const auto cdf = lognormal_pair_cdf(grid, mean, std);
  ASSERT_EQ(cdf.size(), 10U);
  EXPECT_EQ(cdf.back(), 1);
  // Φ by the complementary error function, as p(σ_i < σ ≤ σ_{i+1}) of a truncated log-normal.
  const auto phi = [&](double sigma) {
    return 0.5 * std::erfc(-(std::log(sigma) - mean) / (std * std::sqrt(2.0)));
  };
  for (size_t i = 0; i < cdf.size(); ++i) {
    const double expected = (phi(grid[i + 1]) - phi(grid[0])) / (phi(grid.back()) - phi(grid[0]));
    EXPECT_NEAR(cdf[i], expected, 1e-12);
    EXPECT_GT(cdf[i], i == 0 ? 0 : cdf[i - 1]);
  }
}

}  // namespace
}  // namespace cm
