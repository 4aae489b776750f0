#include "cm/base/random.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>

namespace cm {
namespace {

using ::testing::ElementsAre;

constexpr RandomKey kKey{.seed = 42, .purpose = Purpose::noise, .step = 7};

// The known answers that the authors of Philox ship (Random123, tests/kat_vectors, philox4x32 with 10
// rounds).
TEST(Philox, GivesItsAuthorsKnownAnswers) {
  EXPECT_THAT(philox(0, {{0, 0, 0, 0}}).words, ElementsAre(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  EXPECT_THAT(philox(~uint64_t{0}, {{~0U, ~0U, ~0U, ~0U}}).words,
              ElementsAre(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  EXPECT_THAT(philox(0x299f31d0a4093822, {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}).words,
              ElementsAre(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
}

TEST(RandomKey, EveryPartChangesTheDraw) {
  std::vector<uint64_t> draws = {kKey.bits(), kKey.bits(1), kKey.bits(0, 1)};
  draws.push_back(RandomKey{.seed = 43, .purpose = Purpose::noise, .step = 7}.bits());
  draws.push_back(RandomKey{.seed = 42, .purpose = Purpose::sigma, .step = 7}.bits());
  draws.push_back(RandomKey{.seed = 42, .purpose = Purpose::noise, .step = 8}.bits());
  std::sort(draws.begin(), draws.end());
  EXPECT_EQ(std::adjacent_find(draws.begin(), draws.end()), draws.end());
}

TEST(RandomKey, BelowIsUniform) {
  constexpr int64_t kFaces = 6;
  constexpr uint32_t kDraws = 60'000;
  std::array<int64_t, kFaces> counts{};
  for (uint32_t i = 0; i < kDraws; ++i) ++counts.at(static_cast<size_t>(kKey.below(kFaces, i)));
  double chi_squared = 0;
  for (const int64_t count : counts) chi_squared += std::pow(static_cast<double>(count) - 10'000, 2) / 10'000;
  EXPECT_LT(chi_squared, 20.5);  // the 99.9th percentile with 5 degrees of freedom
  EXPECT_EQ(kKey.below(1), 0);
}

TEST(Uniform, LiesBetweenZeroAndOneWithTheRightMoments) {
  const Tensor u = uniform(kKey, sample_range(0, 100'000));
  EXPECT_EQ(u.scalar_type(), torch::kFloat64);
  EXPECT_GE(u.min().item<double>(), 0);
  EXPECT_LT(u.max().item<double>(), 1);
  EXPECT_NEAR(u.mean().item<double>(), 0.5, 0.004);
  EXPECT_NEAR(u.var().item<double>(), 1.0 / 12, 0.002);
  EXPECT_EQ(u[5].item<double>(), kKey.uniform(5));
}

TEST(Permutation, HoldsEveryIndexOnce) {
  std::vector<int64_t> order = permutation(kKey, 1000);
  EXPECT_NE(order, sample_range(0, 1000));
  EXPECT_EQ(order, permutation(kKey, 1000));
  EXPECT_NE(order, permutation({.seed = 42, .purpose = Purpose::noise, .step = 8}, 1000));
  std::sort(order.begin(), order.end());
  EXPECT_EQ(order, sample_range(0, 1000));
  EXPECT_TRUE(permutation(kKey, 0).empty());
}

TEST(Permutation, EveryOrderIsEquallyLikely) {
  std::map<std::vector<int64_t>, int64_t> counts;
  for (uint32_t step = 0; step < 6000; ++step) ++counts[permutation({.seed = 1, .step = step}, 3)];
  ASSERT_EQ(counts.size(), 6U);
  for (const auto& [order, count] : counts) EXPECT_NEAR(static_cast<double>(count), 1000, 150);
}

TEST(SampleRange, CountsFromItsFirst) {
  EXPECT_THAT(sample_range(5, 3), ElementsAre(5, 6, 7));
}

}  // namespace
}  // namespace cm
