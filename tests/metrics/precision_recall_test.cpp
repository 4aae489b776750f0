#include "src/metrics/precision_recall.h"
#include "metrics/both_shares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "cm/base/error.h"
#include "cm/base/random.h"
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
