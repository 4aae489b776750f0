#include "src/metrics/frechet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::message_of;
using testing::HasSubstr;

Tensor draws(uint64_t seed, int64_t rows, int64_t columns) {
  return normal({.seed = seed}, sample_range(0, rows), {columns}).to(torch::kFloat64);
}

GaussianMoments gaussian(const Tensor& mean, const Tensor& covariance) {
  return {mean, covariance};
}

TEST(FrechetDistance, OfDiagonalGaussiansIsTheSumOverDimensions) {
  const auto f64 = torch::kFloat64;
  const Tensor s = torch::tensor({1.0, 2.0, 0.5}, f64);
  const Tensor t = torch::tensor({3.0, 2.0, 0.0}, f64);
  const auto a = gaussian(torch::tensor({0.0, 1.0, 2.0}, f64), s.square().diag());
  const auto b = gaussian(torch::tensor({1.0, 1.0, 0.0}, f64), t.square().diag());
  EXPECT_NEAR(frechet_distance(a, b), (1 + 0 + 4) + (4 + 0 + 0.25), 1e-12);
}

TEST(FrechetDistance, IsNeverNegative) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto moments = moments_of(draws(seed, 30, 8));
    EXPECT_GE(frechet_distance(moments, moments), 0) << seed;
  }
}

TEST(FrechetDistance, OfRankOneGaussiansIsInClosedForm) {
  const Tensor u = draws(1, 1, 6)[0];
  const Tensor v = draws(2, 1, 6)[0];
  const Tensor zero = torch::zeros({6}, torch::kFloat64);
  const double expected =
      (u.dot(u) + v.dot(v) - 2 * u.dot(v).abs()).item<double>();  // the roots of uuᵀ and vvᵀ overlap by |u·v|
  EXPECT_NEAR(frechet_distance(gaussian(zero, torch::outer(u, u)), gaussian(zero, torch::outer(v, v))),
              expected, 1e-9);
}

TEST(FrechetDistance, IsSymmetricAndInvariantUnderRotation) {
  const auto a = moments_of(draws(3, 40, 8));
  const auto b = moments_of(draws(4, 40, 8) * 1.5 + 0.3);
  const Tensor rotation = std::get<0>(torch::linalg_qr(draws(5, 8, 8), "reduced"));
  const auto turned = [&](const GaussianMoments& m) {
    return gaussian(rotation.matmul(m.mean), rotation.matmul(m.covariance).matmul(rotation.t()));
  };
  const double distance = frechet_distance(a, b);
  EXPECT_NEAR(frechet_distance(b, a), distance, 1e-10 * distance);
  EXPECT_NEAR(frechet_distance(turned(a), turned(b)), distance, 1e-10 * distance);
}

TEST(FrechetDistance, OfAGaussianToItselfIsZero) {
  const auto full = moments_of(draws(6, 50, 8));
  const auto deficient = moments_of(draws(7, 5, 32));
  EXPECT_NEAR(frechet_distance(full, full), 0, 1e-10);
  EXPECT_NEAR(frechet_distance(deficient, deficient), 0, 1e-10);
}

TEST(FrechetDistance, OfConstantFeaturesIsTheDistanceOfTheMeans) {
  const auto a = moments_of(torch::zeros({3, 4}));
  const auto b = moments_of(torch::full({3, 4}, 2.0));
  EXPECT_DOUBLE_EQ(frechet_distance(a, b), 16);
}

TEST(FrechetDistance, RefusesMomentsThatAreNotFinite) {
  const auto good = moments_of(draws(8, 9, 3));
  auto bad = moments_of(draws(9, 9, 3));
  bad.covariance[0][1] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(message_of<InputError>([&] { frechet_distance(good, bad); }), HasSubstr("NaN or infinite"));
}

TEST(FrechetDistance, RefusesOtherWidths) {
  EXPECT_THROW(frechet_distance(moments_of(draws(1, 9, 3)), moments_of(draws(1, 9, 4))), c10::Error);
}

}  // namespace
}  // namespace cm
