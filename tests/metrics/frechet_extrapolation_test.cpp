#include "src/metrics/frechet_extrapolation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cm/base/error.h"
#include "support/message_of.h"
#include "support/random_batch.h"

namespace cm {
namespace {

using test::message_of;
using test::random_points;
using testing::HasSubstr;

RootedMoments unit_normal(int64_t width) {
  return rooted(
      {.mean = torch::zeros({width}, torch::kFloat64), .covariance = torch::eye(width, torch::kFloat64)});
}

TEST(FrechetExtrapolation, TheLineThroughTwoPointsMeetsZeroWhereItShould) {
  EXPECT_DOUBLE_EQ(intercept_of_line({1, 2}, {5, 7}), 3);
  EXPECT_NEAR(intercept_of_line({1, 2, 3}, {1, 2, 4}), -2.0 / 3, 1e-12);  // least squares by hand
}

// Samples of the reference's own distribution: the true distance is 0, that of N samples well above it.
TEST(FrechetExtrapolation, RemovesTheBiasOfFewSamples) {
  constexpr int64_t kWidth = 24;
  const Tensor features = random_points(1200, kWidth, 3);
  const double biased = frechet_distance(moments_of(features), unit_normal(kWidth));
  const double extrapolated = extrapolated_frechet(features, unit_normal(kWidth), 0);
  EXPECT_GT(biased, 0.1);
  EXPECT_LT(std::abs(extrapolated), 0.2 * biased);
}

TEST(FrechetExtrapolation, DependsOnTheSeedAlone) {
  const Tensor features = random_points(100, 4, 3);
  const double value = extrapolated_frechet(features, unit_normal(4), 7);
  EXPECT_EQ(extrapolated_frechet(features, unit_normal(4), 7), value);
  EXPECT_NE(extrapolated_frechet(features, unit_normal(4), 8), value);
}

TEST(FrechetExtrapolation, RefusesTooFewImages) {
  EXPECT_THAT(message_of<InputError>([] {
                extrapolated_frechet(torch::zeros({19, 2}), unit_normal(2), 0);
              }),
              HasSubstr("at least 20 images, got 19"));
  EXPECT_TRUE(std::isfinite(extrapolated_frechet(random_points(20, 2, 3), unit_normal(2), 0)));
}

}  // namespace
}  // namespace cm
