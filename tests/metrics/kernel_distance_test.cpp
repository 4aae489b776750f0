#include "src/metrics/kernel_distance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "cm/base/error.h"
#include "support/message_of.h"
#include "support/random_batch.h"

namespace cm {
namespace {

using test::message_of;
using test::random_points;
using testing::HasSubstr;

TEST(KernelDistance, EqualsItsSumWorkedOut) {
  // D = 1; a = {0, 1}, b = {2, 3}: the pairs within a have k(0, 1) = 1, those within b k(2, 3) = 7³ = 343,
  // those between k(0, 2) = k(0, 3) = 1, k(1, 2) = 27, k(1, 3) = 64.
  const Tensor a = torch::tensor({{0.0}, {1.0}});
  const Tensor b = torch::tensor({{2.0}, {3.0}});
  EXPECT_DOUBLE_EQ(squared_mmd(a, b), 1 + 343 - 2 * (1 + 1 + 27 + 64) / 4.0);
}

// In one dimension k(x, y) = 1 + 3xy + 3x²y² + x³y³, so MMD² = 3 (E x − E y)² + 3 (E x² − E y²)² + (E x³ − E
// y³)².
TEST(KernelDistance, IsUnbiased) {
  const double shift = 0.5;
  const double second = shift * shift;
  const double third = std::pow(shift, 3) + 3 * shift;
  const double expected = 3 * shift * shift + 3 * second * second + third * third;
  double sum = 0;
  constexpr int64_t kRepeats = 4000;
  for (int64_t i = 0; i < kRepeats; ++i) {
    sum += squared_mmd(random_points(10, 1, 2 * i), random_points(10, 1, 2 * i + 1) + shift);
  }
  EXPECT_NEAR(sum / kRepeats, expected, 0.25);  // a biased estimator would be off by about 3
}

TEST(KernelDistance, OfWholeSetsIsTheirSquaredMmdWithoutDeviation) {
  const Tensor a = random_points(40, 8, 1);
  const Tensor b = random_points(40, 8, 2) + 1;
  const auto distance = kernel_distance(a, b, {.subsets = 3, .subset_size = 1000, .seed = 0});
  EXPECT_NEAR(distance.mean, squared_mmd(a, b), 1e-12);
  EXPECT_NEAR(distance.deviation, 0, 1e-12);
}

TEST(KernelDistance, SubsetsSurroundTheWhole) {
  const Tensor a = random_points(500, 8, 1);
  const Tensor b = random_points(400, 8, 2) + 0.3;
  const auto distance = kernel_distance(a, b, {.subsets = 100, .subset_size = 100, .seed = 0});
  EXPECT_GT(distance.deviation, 0);
  EXPECT_NEAR(distance.mean, squared_mmd(a, b), 5 * distance.deviation / 10);
  const auto again = kernel_distance(a, b, {.subsets = 100, .subset_size = 100, .seed = 0});
  EXPECT_EQ(again.mean, distance.mean);
  EXPECT_NE(kernel_distance(a, b, {.subsets = 100, .subset_size = 100, .seed = 1}).mean, distance.mean);
}

// The same rows of a set on both sides would be six times as far below 0.
TEST(KernelDistance, TheSubsetsOfBothSidesAreDrawnApart) {
  const Tensor a = random_points(300, 8, 1);
  const auto distance = kernel_distance(a, a, {.subsets = 100, .subset_size = 50, .seed = 0});
  EXPECT_NEAR(distance.mean, squared_mmd(a, a), 5 * distance.deviation / 10);
}

TEST(KernelDistance, SmallerSubsetsDeviateMore) {
  const Tensor a = random_points(400, 8, 1);
  const Tensor b = random_points(400, 8, 2);
  const auto deviation = [&](int64_t size) {
    return kernel_distance(a, b, {.subsets = 100, .subset_size = size, .seed = 0}).deviation;
  };
  EXPECT_GT(deviation(25), 2 * deviation(200));
}

TEST(KernelDistance, TheDeviationIsDividedByTheNumberOfSubsets) {
  const Tensor a = random_points(300, 8, 1);
  const Tensor b = random_points(300, 8, 2);
  const double first = kernel_distance(a, b, {.subsets = 1, .subset_size = 50}).mean;
  const auto of_two = kernel_distance(a, b, {.subsets = 2, .subset_size = 50});
  EXPECT_NEAR(of_two.deviation, std::abs(of_two.mean - first), 1e-12);
}

TEST(KernelDistance, RefusesWhatHasNoDistance) {
  EXPECT_THAT(message_of<InputError>([] {
                kernel_distance(torch::zeros({1, 4}), torch::zeros({5, 4}), {});
              }),
              HasSubstr("at least 2 images in each set, got 1"));
  const Tensor broken = torch::full({5, 4}, std::numeric_limits<double>::quiet_NaN());
  EXPECT_THAT(message_of<InputError>([&] {
                kernel_distance(torch::zeros({5, 4}), broken, {});
              }),
              HasSubstr("finite features"));
}

}  // namespace
}  // namespace cm
