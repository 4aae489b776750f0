#include "cm/training/curriculum.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace cm {
namespace {

constexpr LevelOptions kImageNet{.schedule = LevelSchedule::progressive, .s0 = 2, .s1 = 200};
constexpr LevelOptions kIct{.schedule = LevelSchedule::doubling, .s0 = 10, .s1 = 1280};

TEST(Curriculum, FixedLevelsStay) {
  const LevelOptions options{.schedule = LevelSchedule::fixed, .s0 = 18};
  EXPECT_EQ(noise_levels(options, 0, 100), 18);
  EXPECT_EQ(noise_levels(options, 99, 100), 18);
}

// CM: from s0 to s1 + 1, the square growing linearly.
TEST(Curriculum, ProgressiveLevelsGrowFromS0ToS1Plus1) {
  constexpr int64_t kSteps = 800'000;
  EXPECT_EQ(noise_levels(kImageNet, 0, kSteps), 2);
  EXPECT_EQ(noise_levels(kImageNet, kSteps, kSteps), 201);
  EXPECT_EQ(noise_levels(kImageNet, 2 * kSteps, kSteps), 201);
  int64_t before = 0;
  for (int64_t step = 0; step <= kSteps; step += 10'000) {
    const int64_t n = noise_levels(kImageNet, step, kSteps);
    EXPECT_GE(n, before);
    before = n;
    const double root = std::sqrt(static_cast<double>(step) / kSteps * (201.0 * 201 - 4) + 4);
    EXPECT_LE(std::abs(static_cast<double>(n) - root), 1.0);
  }
}

TEST(Curriculum, AGridHasTwoLevelsAtLeast) {
  const LevelOptions options{.schedule = LevelSchedule::progressive, .s0 = 1, .s1 = 1};
  EXPECT_EQ(noise_levels(options, 0, 10), 2);
  EXPECT_EQ(noise_levels(options, 10, 10), 2);
}

// iCT's table for 400k steps: 10 → 1280, doubled every 50k.
TEST(Curriculum, DoublingLevelsFollowTheTable) {
  constexpr int64_t kSteps = 400'000;
  constexpr int64_t kEvery = 50'000;
  int64_t intervals = 10;
  for (int64_t start = 0; start < kSteps; start += kEvery) {
    EXPECT_EQ(noise_levels(kIct, start, kSteps), intervals + 1) << start;
    EXPECT_EQ(noise_levels(kIct, start + kEvery - 1, kSteps), intervals + 1) << start;
    intervals *= 2;
  }
  EXPECT_EQ(noise_levels(kIct, kSteps - 1, kSteps), 1281);
}

TEST(Curriculum, DoublingStopsAtS1) {
  const LevelOptions options{.schedule = LevelSchedule::doubling, .s0 = 10, .s1 = 50};
  // K' = ⌊300/(log₂ 5 + 1)⌋ = 90
  EXPECT_EQ(noise_levels(options, 89, 300), 11);
  EXPECT_EQ(noise_levels(options, 269, 300), 41);
  EXPECT_EQ(noise_levels(options, 270, 300), 51);
  EXPECT_EQ(noise_levels(options, 3000, 300), 51);
}

// s1/s0 is rounded down: K' = ⌊1000/(log₂ 15 + 1)⌋ = 203, where log₂ 15.9 would give 200.
TEST(Curriculum, TheDoublingsAreCountedByAWholeRatio) {
  const LevelOptions options{.schedule = LevelSchedule::doubling, .s0 = 10, .s1 = 159};
  EXPECT_EQ(noise_levels(options, 202, 1000), 11);
  EXPECT_EQ(noise_levels(options, 203, 1000), 21);
}

TEST(Curriculum, ARunShorterThanItsDoublingsWorks) {
  EXPECT_EQ(noise_levels(kIct, 0, 2), 11);
  EXPECT_EQ(noise_levels(kIct, 1, 2), 21);
}

TEST(Curriculum, DecayHandValues) {
  EXPECT_EQ(target_decay({.schedule = DecaySchedule::fixed, .mu = 0.95}, 2, 100), 0.95);
  const DecayOptions release{.schedule = DecaySchedule::adaptive, .mu = 0.95};
  const DecayOptions paper{.schedule = DecaySchedule::adaptive_paper, .mu = 0.95};
  EXPECT_NEAR(target_decay(release, 2, 2), 0.9025, 1e-12);
  EXPECT_NEAR(target_decay(paper, 2, 2), 0.95, 1e-12);
  EXPECT_NEAR(target_decay(paper, 2, 201), std::exp(2 * std::log(0.95) / 201), 1e-15);
  EXPECT_GT(target_decay(release, 2, 201), target_decay(release, 2, 20));
}

TEST(Curriculum, DecayZeroCopiesInEverySchedule) {
  for (const auto& [schedule, name] : EnumNames<DecaySchedule>::names) {
    EXPECT_EQ(target_decay({.schedule = schedule, .mu = 0}, 2, 50), 0) << name;
  }
}

std::string complaint_about(const LevelOptions& options) {
  std::string complaint;
  validate(options,
           [&](const std::string& key, const std::string& sentence) { complaint += key + " " + sentence; });
  return complaint;
}

TEST(Curriculum, LevelsThatCannotBeAreMistakes) {
  for (const LevelOptions& smallest :
       {kImageNet, LevelOptions{.schedule = LevelSchedule::fixed, .s0 = 2},
        LevelOptions{.schedule = LevelSchedule::doubling, .s0 = 20, .s1 = 20}}) {
    EXPECT_EQ(complaint_about(smallest), "");
  }
  EXPECT_EQ(complaint_about({.schedule = LevelSchedule::fixed, .s0 = 1}),
            "s0 must be at least 2 for a fixed grid, got 1");
  EXPECT_EQ(complaint_about({.schedule = LevelSchedule::doubling, .s0 = 20, .s1 = 10}),
            "s1 must be at least s0 (20), got 10");
  EXPECT_EQ(complaint_about({.schedule = LevelSchedule::doubling, .s0 = 20, .s1 = 20}), "");
}

}  // namespace
}  // namespace cm
