#include "cm/kernels/normal.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <numbers>

#include "support/devices.h"

namespace cm {
namespace {

constexpr RandomKey kNormalKey{.seed = 42, .purpose = Purpose::noise, .step = 7};

// The distance of x from an exact value in units of its last place in fp32.
double ulps(float x, double exact) {
  return std::abs(static_cast<double>(x) - exact) / std::ldexp(1.0, std::ilogb(exact) - 23);
}

// Box–Muller in double of the words of each counter.
TEST(Normal, IsTheFormulaTo4Ulp) {
  constexpr int64_t kCounters = 100'000;
  const Tensor z = normal(kNormalKey, {5}, {4 * kCounters});
  const auto* const numbers = z.const_data_ptr<float>();
  double worst = 0;
  for (int64_t i = 0; i < kCounters; ++i) {
    const PhiloxBlock block = kNormalKey.block(5, static_cast<uint32_t>(i));
    for (int64_t half = 0; half < 2; ++half) {
      const double u = (static_cast<double>(block.words[2 * half] >> 8) + 1) * 0x1p-24;
      const double angle =
          2 * std::numbers::pi * static_cast<double>(block.words[2 * half + 1] >> 8) * 0x1p-24;
      const double radius = std::sqrt(-2 * std::log(u));
      const float* const pair = numbers + 4 * i + 2 * half;
      worst =
          std::max({worst, ulps(pair[0], radius * std::cos(angle)), ulps(pair[1], radius * std::sin(angle))});
    }
  }
  EXPECT_LT(worst, 4);
}

// Whatever processor made them: its numbers are no others' (CM_PROCESSOR, kernels.on_any and
// kernels.on_avx2).
TEST(Normal, IsTheSameToTheBitOnEveryProcessor) {
  const Tensor z = normal(kNormalKey, {0, 1, 4'000'000'000}, {1001});
  uint64_t digest = 0;
  const auto* const numbers = z.const_data_ptr<float>();
  for (int64_t i = 0; i < z.numel(); ++i) {
    uint32_t bits = 0;
    std::memcpy(&bits, numbers + i, sizeof(bits));
    digest = digest * 0x9E3779B97F4A7C15 + bits;
  }
  EXPECT_EQ(digest, 0xb9057fcb8bfef02d);  // NumPy gives it in float32 by the same operations
}

TEST(Normal, OnADeviceAreTheHostsNumbers) {
  for (const torch::Device& device : test::devices()) {
    const Tensor z = normal(kNormalKey, {6, 2, 6}, {3, 5, 5}, device);
    EXPECT_EQ(z.device(), device);
    EXPECT_TRUE(torch::equal(z.cpu(), normal(kNormalKey, {6, 2, 6}, {3, 5, 5})));
  }
}

TEST(Normal, HasTheMomentsOfAUnitNormal) {
  const Tensor z = normal(kNormalKey, sample_range(0, 1000), {3, 20, 20}).to(torch::kFloat64).flatten();
  // Five standard errors of each estimate over 1.2 million draws.
  EXPECT_NEAR(z.mean().item<double>(), 0, 0.005);
  EXPECT_NEAR(z.var().item<double>(), 1, 0.007);
  EXPECT_NEAR(z.pow(3).mean().item<double>(), 0, 0.018);
  EXPECT_NEAR(z.pow(4).mean().item<double>(), 3, 0.045);
  EXPECT_NEAR((z.abs() > 3).to(torch::kFloat64).mean().item<double>(), 0.0027, 0.00024);
}

TEST(Normal, NeighboursAreUncorrelated) {
  const Tensor z = normal(kNormalKey, sample_range(0, 100), {10'000}).to(torch::kFloat64);
  for (const int64_t lag : {1, 2, 3, 4}) {
    const Tensor product = z.narrow(1, 0, 10'000 - lag) * z.narrow(1, lag, 10'000 - lag);
    EXPECT_NEAR(product.mean().item<double>(), 0, 0.005) << lag;
  }
  EXPECT_NEAR((z.narrow(0, 0, 99) * z.narrow(0, 1, 99)).mean().item<double>(), 0, 0.005);
}

TEST(Normal, ARowDependsOnItsSampleAlone) {
  const Tensor all = normal(kNormalKey, sample_range(0, 8), {3, 5, 5});
  const Tensor some = normal(kNormalKey, {6, 2, 6}, {3, 5, 5});
  EXPECT_TRUE(torch::equal(some[0], all[6]));
  EXPECT_TRUE(torch::equal(some[1], all[2]));
  EXPECT_TRUE(torch::equal(some[2], all[6]));
  EXPECT_FALSE(torch::equal(all[0], all[1]));
}

TEST(Normal, DoesNotDependOnTheNumberOfThreads) {
  const int threads = at::get_num_threads();
  const Tensor many = normal(kNormalKey, sample_range(0, 9), {101});
  at::set_num_threads(1);
  const Tensor one = normal(kNormalKey, sample_range(0, 9), {101});
  at::set_num_threads(threads);
  EXPECT_TRUE(torch::equal(many, one));
}

TEST(Normal, ALongerRowBeginsLikeAShorterOne) {
  EXPECT_TRUE(torch::equal(normal(kNormalKey, {3}, {7}), normal(kNormalKey, {3}, {10}).narrow(1, 0, 7)));
}

TEST(Normal, MayBeEmpty) {
  EXPECT_EQ(normal(kNormalKey, {}, {3, 2}).sizes(), (std::vector<int64_t>{0, 3, 2}));
}

}  // namespace
}  // namespace cm
