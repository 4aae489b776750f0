#include "cm/metrics/precision_recall.h"

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
  EXPECT_TRUE(torch::equal(squared_radii(reference, 1), torch::tensor({1.0, 1.0, 49.0}, torch::kFloat64)));
  const auto result = precision_recall(samples, reference, 1);
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
  const auto result = precision_recall(x, x);
  EXPECT_DOUBLE_EQ(result.precision, 1);
  EXPECT_DOUBLE_EQ(result.recall, 1);
}

TEST(PrecisionRecall, OfDistantSetsAreZero) {
  const Tensor x = normal({.seed = 2}, sample_range(0, 20), {4});
  const auto result = precision_recall(x, x + 1000);
  EXPECT_DOUBLE_EQ(result.precision, 0);
  EXPECT_DOUBLE_EQ(result.recall, 0);
}

TEST(PrecisionRecall, ACollapsedModelIsPreciseWithoutRecall) {
  const Tensor reference = normal({.seed = 3}, sample_range(0, 100), {4});
  const Tensor samples = reference.slice(0, 0, 1).expand({10, 4});  // duplicates: their balls have radius 0
  const auto result = precision_recall(samples, reference);
  EXPECT_DOUBLE_EQ(result.precision, 1);
  EXPECT_DOUBLE_EQ(result.recall, 0.01);
}

TEST(PrecisionRecall, SwapWithTheirArguments) {
  const Tensor a = normal({.seed = 4}, sample_range(0, 60), {3});
  const Tensor b = normal({.seed = 5}, sample_range(0, 80), {3}) * 1.5;
  const auto ab = precision_recall(a, b);
  const auto ba = precision_recall(b, a);
  EXPECT_DOUBLE_EQ(ab.precision, ba.recall);
  EXPECT_DOUBLE_EQ(ab.recall, ba.precision);
}

TEST(PrecisionRecall, ManyBlocksEqualThePlainDefinition) {
  const Tensor x = normal({.seed = 6}, sample_range(0, 3000), {2});  // 9 M pairs: two blocks
  const Tensor wide = x.to(torch::kFloat64);
  const Tensor direct = (wide[2999] - wide).square().sum(1);
  EXPECT_NEAR(squared_radii(x, 3)[2999].item<double>(), std::get<0>(direct.sort())[3].item<double>(), 1e-15);
}

TEST(PrecisionRecall, RefuseTooFewPoints) {
  EXPECT_THAT(message_of<InputError>([] {
                precision_recall(torch::zeros({3, 2}), torch::zeros({9, 2}));
              }),
              HasSubstr("at least 4 images in each set, got 3"));
}

TEST(PrecisionRecall, RefuseValuesThatAreNotFinite) {
  const Tensor broken = torch::full({9, 2}, std::numeric_limits<float>::infinity());
  EXPECT_THAT(message_of<InputError>([&] {
                precision_recall(torch::zeros({9, 2}), broken);
              }),
              HasSubstr("finite features"));
}

}  // namespace
}  // namespace cm
