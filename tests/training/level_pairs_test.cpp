#include "src/training/level_pairs.h"

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

// ρ = 1 spaces the levels evenly.
TEST(LevelPairs, HalvedStepsWalkTheGridAndStopHalfWay) {
  const SigmaOptions even{.min = 1, .max = 9, .rho = 1};
  const auto [t, mid, end] =
      uniform_halved_steps(even, 4, torch::tensor({0.0, 0.24, 0.26, 0.99}, torch::kFloat64));
  EXPECT_TRUE(torch::allclose(t, torch::tensor({9.0, 9.0, 7.0, 3.0}, torch::kFloat64)));
  EXPECT_TRUE(torch::allclose(mid, torch::tensor({8.0, 8.0, 6.0, 2.0}, torch::kFloat64)));
  EXPECT_TRUE(torch::allclose(end, torch::tensor({7.0, 7.0, 5.0, 1.0}, torch::kFloat64)));
  const auto one = halved_steps_at({}, 1, {0});
  EXPECT_NEAR(one.t.item<double>(), 80, 1e-12);
  EXPECT_NEAR(one.end.item<double>(), 0.002, 1e-12);
}

// A teacher of 2 N steps stops at every level where its student stops.
TEST(LevelPairs, TheHalfStepsAreThoseOfTheGridTwiceAsFine) {
  const auto coarse = halved_steps_at({}, 4, {0, 1, 2, 3});
  const auto fine = halved_steps_at({}, 8, {0, 2, 4, 6});
  EXPECT_TRUE(torch::allclose(coarse.t, fine.t, 1e-12, 0));
  EXPECT_TRUE(torch::allclose(coarse.mid, fine.end, 1e-12, 0));
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
