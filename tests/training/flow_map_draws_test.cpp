#include "src/training/flow_map_draws.h"

#include <gtest/gtest.h>

#include "support/closeness.h"

namespace cm {
namespace {

constexpr int64_t kDraws = 20'000;
const Path kLinear{PathKind::linear};

Interval drawn(const IntervalOptions& options, int64_t step = 3) {
  return draw_interval(options, kLinear, 7, step, sample_range(0, kDraws));
}

Tensor log_odds(const Tensor& t) {
  return (t / (1 - t)).log();
}

TEST(FlowMapDraws, TimesAreLogitNormal) {
  const auto [t, s] = drawn({.p_mean = -0.6, .p_std = 1.6, .equal_share = 0});
  EXPECT_NEAR(log_odds(t).mean().item<double>(), -0.6, 5 * 1.6 / std::sqrt(kDraws));
  EXPECT_NEAR(log_odds(t).std().item<double>(), 1.6, 5 * 1.6 / std::sqrt(2.0 * kDraws));
  EXPECT_TRUE((s <= t).all().item<bool>());
}

// Cut: s of N(−4, 1.6²) is t's where it lies above. Swapped: the draws are exchanged there.
TEST(FlowMapDraws, TheOrderIsKeptInEitherWay) {
  const IntervalOptions cut{.equal_share = 0};
  const IntervalOptions swapped{.equal_share = 0, .order = IntervalOrder::swap};
  const auto [t, s] = drawn(cut);
  const auto [larger, smaller] = drawn(swapped);
  const Tensor ordered = s < t;
  EXPECT_TRUE(torch::equal(t.masked_select(ordered), larger.masked_select(ordered)));
  EXPECT_TRUE(torch::equal(s.masked_select(ordered), smaller.masked_select(ordered)));
  const Tensor others = ordered.logical_not();
  EXPECT_GT(others.sum().item<int64_t>(), 100);
  EXPECT_TRUE((t == s).masked_select(others).all().item<bool>());
  EXPECT_TRUE((larger > t).masked_select(others).all().item<bool>());
  EXPECT_TRUE(torch::equal(smaller.masked_select(others), t.masked_select(others)));
}

TEST(FlowMapDraws, AShareOfTheBatchHasNoWayToGo) {
  const auto [t, s] = drawn({.p_mean_s = -30, .equal_share = 0.25});
  EXPECT_NEAR((t == s).sum().item<double>(), 0.25 * kDraws, 1);
  const auto [again_t, again_s] = drawn({.p_mean_s = -30, .equal_share = 0.25}, 4);
  EXPECT_FALSE(torch::equal(again_t, t));
}

}  // namespace
}  // namespace cm
