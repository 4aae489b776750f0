#include "cm/diffusion/discretization.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "cm/base/error.h"
#include "support/closeness.h"
#include "support/each_near.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::each_near;
using test::message_of;
using testing::HasSubstr;

TEST(Discretization, TheGridRisesFromMinToMax) {
  for (const int64_t n : {2, 3, 18, 40, 151, 1281}) {
    const auto sigmas = karras_sigmas({}, n);
    ASSERT_EQ(sigmas.size(), static_cast<size_t>(n));
    EXPECT_NEAR(sigmas.front(), 0.002, 1e-15);
    EXPECT_NEAR(sigmas.back(), 80, 1e-12);
    EXPECT_TRUE(std::ranges::is_sorted(sigmas, std::less_equal<>())) << n;
  }
}

TEST(Discretization, RhoOneIsAnEvenGrid) {
  const auto sigmas = karras_sigmas({.min = 1, .max = 5, .rho = 1}, 5);
  EXPECT_THAT(sigmas, each_near({1, 2, 3, 4, 5}, 1e-12));
}

TEST(Discretization, RhoTwoIsEvenInTheRoot) {
  const auto sigmas = karras_sigmas({.min = 1, .max = 25, .rho = 2}, 3);
  EXPECT_THAT(sigmas, each_near({1, 9, 25}, 1e-12));
}

TEST(Discretization, TheLevelsBetweenThoseOfAGrid) {
  const SigmaOptions options{.min = 0.01, .max = 50, .rho = 3};
  const auto grid = karras_sigmas(options, 5);
  const Tensor between = karras_level(options, torch::linspace(0, 1, 5, torch::kFloat64));
  for (size_t i = 0; i < grid.size(); ++i) {
    EXPECT_NEAR(between[static_cast<int64_t>(i)].item<double>(), grid[i], 1e-12 * grid[i]);
  }
}

TEST(Discretization, TheSlopeIsTheLevelsDerivative) {
  for (const double rho : {1.0, 7.0}) {
    const SigmaOptions options{.min = 0.01, .max = 50, .rho = rho};
    const Tensor v = torch::tensor({0.1, 0.5, 0.9}, torch::kFloat64);
    const double h = 1e-5;
    const Tensor expected = (karras_level(options, v + h) - karras_level(options, v - h)) / (2 * h);
    const Tensor slope = karras_slope(options, karras_level(options, v));
    EXPECT_LT(test::relative_difference(slope, expected), 1e-8);
  }
}

TEST(Discretization, PositionsCountDownFromMax) {
  const SigmaOptions options;
  const auto ascending = karras_sigmas(options, 40);
  EXPECT_NEAR(karras_sigma(options, 40, 0), 80, 1e-12);
  EXPECT_NEAR(karras_sigma(options, 40, 39), 0.002, 1e-15);
  EXPECT_DOUBLE_EQ(karras_sigma(options, 40, 22), ascending[39 - 22]);
  EXPECT_NEAR(karras_sigma(options, 40, 22), 1.3824, 1e-4);  // the release's second time point
  const double half_step = karras_sigma(options, 40, 22.5);
  EXPECT_GT(half_step, karras_sigma(options, 40, 23));
  EXPECT_LT(half_step, karras_sigma(options, 40, 22));
}

TEST(Discretization, ASamplerWalksDownToZero) {
  const auto sigmas = sampler_sigmas({}, 18);
  ASSERT_EQ(sigmas.size(), 19U);
  EXPECT_NEAR(sigmas.front(), 80, 1e-12);
  EXPECT_NEAR(sigmas[17], 0.002, 1e-15);
  EXPECT_EQ(sigmas.back(), 0);
  EXPECT_THAT(sampler_sigmas({}, 1), testing::ElementsAre(80, 0));
}

// Read off the release.
TEST(Discretization, TheReleaseRoundsToSinglePrecision) {
  const auto sigmas = sampler_sigmas_fp32({}, 40);
  ASSERT_EQ(sigmas.size(), 41U);
  EXPECT_NEAR(sigmas.front(), 79.99998, 5e-6);
  EXPECT_NEAR(sigmas[39], 0.0019999996, 2e-10);
  EXPECT_EQ(sigmas.back(), 0);
}

TEST(Discretization, TooFewLevelsAreMistakes) {
  EXPECT_THAT(message_of<InputError>([] { karras_sigmas({}, 1); }),
              HasSubstr("a discretization needs at least 2 noise levels, got 1"));
  EXPECT_THAT(message_of<InputError>([] { sampler_sigmas_fp32({}, 0); }), HasSubstr("at least 1 step"));
  EXPECT_THAT(message_of<InputError>([] { sampler_sigmas({}, 0); }),
              HasSubstr("a sampler needs at least 1 step, got 0"));
}

TEST(Discretization, MaxMustExceedMin) {
  std::string complaint;
  const auto note = [&](const std::string& key, const std::string& sentence) {
    complaint += key + " " + sentence;
  };
  validate(SigmaOptions{}, note);
  EXPECT_EQ(complaint, "");
  validate(SigmaOptions{.min = 2, .max = 1}, note);
  EXPECT_EQ(complaint, "max must be above min (2), got 1");
  complaint.clear();
  validate(SigmaOptions{.min = 2, .max = 2}, note);
  EXPECT_EQ(complaint, "max must be above min (2), got 2");
}

}  // namespace
}  // namespace cm
