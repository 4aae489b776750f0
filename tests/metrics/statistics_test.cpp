#include "cm/metrics/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/message_of.h"
#include "support/random_batch.h"

namespace cm {
namespace {

using test::message_of;
using testing::HasSubstr;

// [n, width] draws with a large common offset, where a sum of squares would lose its digits.
Tensor offset_draws(int64_t n, int64_t width) {
  return test::random_points(n, width, 3) + 1e5;
}

RunningMoments accumulated(const Tensor& x, const std::vector<int64_t>& sizes) {
  RunningMoments running;
  for (const Tensor& batch : x.split_with_sizes(sizes)) running.add(batch);
  return running;
}

double relative_difference(const Tensor& a, const Tensor& b) {
  return ((a - b).abs().max() / b.abs().max()).item<double>();
}

TEST(Statistics, EqualTheTwoPassFormulas) {
  const Tensor x = offset_draws(100, 5);
  const auto moments = accumulated(x, {1, 0, 59, 40}).moments();
  EXPECT_LT(relative_difference(moments.mean, x.mean(0)), 1e-14);
  EXPECT_LT(relative_difference(moments.covariance, torch::cov(x.t())), 1e-9);
}

TEST(Statistics, DoNotDependOnBatchOrder) {
  const Tensor x = offset_draws(100, 5);
  const auto forward = accumulated(x, {7, 33, 60}).moments();
  const auto backward = accumulated(x.flip(0), {2, 98}).moments();
  EXPECT_LT(relative_difference(forward.mean, backward.mean), 1e-9);
  EXPECT_LT(relative_difference(forward.covariance, backward.covariance), 1e-9);
}

TEST(Statistics, MergeEqualsAddingAll) {
  const Tensor x = offset_draws(60, 3);
  auto left = accumulated(x.slice(0, 0, 25), {25});
  left.merge(accumulated(x.slice(0, 25), {35}));
  left.merge(RunningMoments());
  EXPECT_EQ(left.count(), 60);
  EXPECT_LT(relative_difference(left.moments().covariance, torch::cov(x.t())), 1e-9);
}

TEST(Statistics, BlocksOfAMatrixEqualTheWhole) {
  const Tensor x = normal({.seed = 5}, sample_range(0, 5000), {4});
  EXPECT_LT(relative_difference(moments_of(x).covariance, torch::cov(x.to(torch::kFloat64).t())), 1e-12);
}

// Of a covariance of rank 1 one eigenvalue is left, and what rounding makes of the others is not.
TEST(Statistics, TheRootOfACovarianceLeavesRoundingOut) {
  const Tensor v = test::random_points(20, 1, 3);
  const Tensor root = covariance_root(v.matmul(v.t()));
  EXPECT_LT(relative_difference(root.matmul(root.t()), v.matmul(v.t())), 1e-12);
  EXPECT_EQ((root.abs().amax(0) > 0).sum().item<int64_t>(), 1);
}

TEST(Statistics, RefuseFewerThanTwoSamples) {
  EXPECT_THAT(message_of<InputError>([] {
                moments_of(torch::zeros({1, 4}));
              }),
              HasSubstr("at least 2 samples, got 1"));
  EXPECT_THROW(RunningMoments().moments(), InputError);
}

TEST(Statistics, RefuseValuesThatAreNotFinite) {
  Tensor x = torch::zeros({4, 2});
  x[1][0] = std::numeric_limits<float>::quiet_NaN();
  x[2][1] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(message_of<InputError>([&] { RunningMoments().add(x); }),
              HasSubstr("2 of 8 feature values are NaN or infinite"));
}

TEST(Statistics, RefuseAnotherWidth) {
  RunningMoments running;
  running.add(torch::zeros({2, 3}));
  EXPECT_THROW(running.add(torch::zeros({2, 4})), c10::Error);
}

}  // namespace
}  // namespace cm
