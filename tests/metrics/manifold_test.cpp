#include "src/metrics/manifold.h"
#include "metrics/both_shares.h"

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

Tensor points_on_a_line(const std::vector<double>& x) {
  return torch::tensor(x, torch::kFloat64).unsqueeze(1);
}

TEST(PrecisionRecall, OfPointsOnALine) {
  // k = 1: the references' radii are 1, 1, 7; the samples' 0.5, 0.5, 93.
  const Tensor reference = points_on_a_line({0, 1, 8});
  const Tensor samples = points_on_a_line({-1.5, -2, 91.5});
  EXPECT_TRUE(torch::equal(manifold_of(reference, 1).squared_radii,
                           torch::tensor({1.0, 1.0, 49.0}, torch::kFloat64)));
  const auto result = test::precision_recall(samples, reference, 1);
  EXPECT_DOUBLE_EQ(result.precision, 0);
  EXPECT_DOUBLE_EQ(result.recall, 1);  // the lone sample's ball reaches back to −1.5
}

TEST(PrecisionRecall, AManifoldCanBeAskedSeveralTimes) {
  const Manifold manifold = manifold_of(points_on_a_line({0, 1, 8}), 1);  // [−1, 1], [0, 2] and [1, 15]
  EXPECT_DOUBLE_EQ(share_inside(points_on_a_line({-1.5, 15, 15.5, -1}), manifold), 0.5);
  EXPECT_DOUBLE_EQ(share_inside(points_on_a_line({2, 14}).to(torch::kFloat32), manifold), 1);
}

TEST(PrecisionRecall, OfASetAgainstItselfAreOne) {
  const Tensor x = normal({.seed = 1}, sample_range(0, 50), {6});
  const auto result = test::precision_recall(x, x);
  EXPECT_DOUBLE_EQ(result.precision, 1);
  EXPECT_DOUBLE_EQ(result.recall, 1);
}

TEST(PrecisionRecall, OfDistantSetsAreZero) {
  const Tensor x = normal({.seed = 2}, sample_range(0, 20), {4});
  const auto result = test::precision_recall(x, x + 1000);
  EXPECT_DOUBLE_EQ(result.precision, 0);
  EXPECT_DOUBLE_EQ(result.recall, 0);
}

TEST(PrecisionRecall, ACollapsedModelIsPreciseWithoutRecall) {
  const Tensor reference = normal({.seed = 3}, sample_range(0, 100), {4});
  const Tensor samples = reference.slice(0, 0, 1).expand({10, 4});  // duplicates: their balls have radius 0
  const auto result = test::precision_recall(samples, reference);
  EXPECT_DOUBLE_EQ(result.precision, 1);
  EXPECT_DOUBLE_EQ(result.recall, 0.01);
}

TEST(PrecisionRecall, SwapWithTheirArguments) {
  const Tensor a = normal({.seed = 4}, sample_range(0, 60), {3});
  const Tensor b = normal({.seed = 5}, sample_range(0, 80), {3}) * 1.5;
  const auto ab = test::precision_recall(a, b);
  const auto ba = test::precision_recall(b, a);
  EXPECT_DOUBLE_EQ(ab.precision, ba.recall);
  EXPECT_DOUBLE_EQ(ab.recall, ba.precision);
}

// By all differences at once.
double share_inside_directly(const Tensor& x, const Tensor& points, int64_t k) {
  const Tensor a = x.to(torch::kFloat64).unsqueeze(1);
  const Tensor b = points.to(torch::kFloat64);
  const Tensor radii = std::get<0>((b.unsqueeze(1) - b).square().sum(2).kthvalue(k + 1, 1));
  return ((a - b).square().sum(2) <= radii).any(1).to(torch::kFloat64).mean().item<double>();
}

TEST(PrecisionRecall, ManyTilesEqualThePlainDefinition) {
  const Tensor points = normal({.seed = 6}, sample_range(0, 9000), {2});  // 18 × 2 tiles
  const Tensor wide = points.to(torch::kFloat64);
  const Tensor radii = manifold_of(points, 3).squared_radii;
  for (const int64_t row : {0, 511, 512, 8191, 8192, 8999}) {
    const Tensor direct = (wide[row] - wide).square().sum(1);
    EXPECT_EQ(radii[row].item<double>(), std::get<0>(direct.sort())[3].item<double>());
  }
  const Tensor samples = 1.2 * normal({.seed = 7}, sample_range(0, 700), {2});
  EXPECT_EQ(share_inside(samples, manifold_of(points.slice(0, 0, 600), 3)),
            share_inside_directly(samples, points.slice(0, 0, 600), 3));
}

// Far from the origin a matrix product loses what tells near points apart: 1e8² has rounding errors of 1, the
// points' steps are 1 too. Small integers tie often and for more points than there are candidates.
TEST(PrecisionRecall, RoundingAndTiesDecideNothing) {
  for (const double offset : {0.0, 1e8}) {
    const Tensor points =
        (normal({.seed = 8}, sample_range(0, 300), {2}) * 2).round().to(torch::kFloat64) + offset;
    const Tensor samples =
        (normal({.seed = 9}, sample_range(0, 200), {2}) * 4).round().to(torch::kFloat64) + offset;
    EXPECT_EQ(share_inside(samples, manifold_of(points, 3)), share_inside_directly(samples, points, 3))
        << offset;
    EXPECT_EQ(share_inside(points, manifold_of(samples, 3)), share_inside_directly(points, samples, 3))
        << offset;
  }
}

// Against all differences at once, by the published code's comparison; small integers tie often.
TEST(DensityCoverage, EqualThePlainDefinition) {
  for (const int64_t k : {1, 5}) {
    for (const double offset : {0.0, 1e8}) {
      const auto integers = [&](uint64_t seed, int64_t count, double scale) {
        return (normal({.seed = seed}, sample_range(0, count), {2}) * scale).round().to(torch::kFloat64) +
               offset;
      };
      const Tensor reference = integers(8, 300, 2);
      const Tensor samples = integers(9, 700, 3);  // two tiles of rows
      const Tensor radii =
          std::get<0>((reference.unsqueeze(1) - reference).square().sum(2).kthvalue(k + 1, 1));
      const Tensor within = (samples.unsqueeze(1) - reference).square().sum(2) < radii;
      const auto result = density_coverage(samples, manifold_of(reference, k));
      EXPECT_DOUBLE_EQ(result.density, within.sum().item<double>() / static_cast<double>(k * 700));
      EXPECT_DOUBLE_EQ(result.coverage, within.any(0).sum().item<double>() / 300);
    }
  }
}

TEST(DensityCoverage, OfPointsOnALine) {
  const Manifold manifold = manifold_of(points_on_a_line({0, 1, 8}), 1);  // (−1, 1), (0, 2) and (1, 15)
  const auto two = density_coverage(points_on_a_line({0.5, 15}), manifold);
  EXPECT_DOUBLE_EQ(two.density, 1);  // 0.5 lies in two balls, 15 on the edge of one
  EXPECT_DOUBLE_EQ(two.coverage, 2.0 / 3);
}

// Lemma 2 and its proof: of two sets of one distribution, whatever that is, a density of 1 and a coverage of
// 1 − (N − 1) … (N − k)/((M + N − 1) … (M + N − k)) are expected.
TEST(DensityCoverage, OfEqualDistributionsAreKnown) {
  const int64_t n = 2000;
  const int64_t m = 1000;
  const int64_t k = 5;
  double missed = 1;
  for (int64_t i = 1; i <= k; ++i) missed *= static_cast<double>(n - i) / static_cast<double>(m + n - i);
  for (const int64_t width : {2, 16}) {
    const auto result = density_coverage(normal({.seed = 4}, sample_range(0, m), {width}),
                                         manifold_of(normal({.seed = 5}, sample_range(0, n), {width}), k));
    EXPECT_NEAR(result.density, 1, 0.1) << width;
    EXPECT_NEAR(result.coverage, 1 - missed, 0.03) << width;
  }
}

TEST(DensityCoverage, ModesThatAreMissingAreNotCovered) {
  const Tensor a = normal({.seed = 4}, sample_range(0, 300), {4});
  const Tensor b = normal({.seed = 5}, sample_range(0, 100), {4}) + 100;
  const auto result =
      density_coverage(normal({.seed = 6}, sample_range(0, 3000), {4}), manifold_of(torch::cat({a, b}), 5));
  EXPECT_NEAR(result.coverage, 0.75, 0.01);
  EXPECT_GT(result.density, 0.9);
}

TEST(PrecisionRecall, RefuseTooFewPoints) {
  EXPECT_THAT(message_of<InputError>([] {
                test::precision_recall(torch::zeros({3, 2}), torch::zeros({9, 2}));
              }),
              HasSubstr("at least 4 images in each set, got 3"));
}

TEST(PrecisionRecall, RefuseValuesThatAreNotFinite) {
  const Tensor broken = torch::full({9, 2}, std::numeric_limits<float>::infinity());
  EXPECT_THAT(message_of<InputError>([&] {
                test::precision_recall(torch::zeros({9, 2}), broken);
              }),
              HasSubstr("finite features"));
}

}  // namespace
}  // namespace cm
