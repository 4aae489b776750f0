#include "cm/training/shortcut_objective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "support/closeness.h"
#include "support/mistakes_of.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

constexpr int64_t kShortcutBatch = 512;

std::vector<Tensor> shortcut_levels(const ShortcutOptions& options) {
  const Model student = test::tiny_model(test::tiny_options(Parameterization::linear_map), 1);
  const Objective objective = objective_of(options, {.student = student, .target = &student, .seed = 7});
  return objective.draw(test::training_batch(test::tiny_batch(0, kShortcutBatch), 0)).levels;
}

TEST(ShortcutObjective, StepsArePowersOfTwoAtTheirMultiples) {
  const auto levels = shortcut_levels({.finest = 8});
  std::set<double> lengths;
  int64_t flows = 0;
  for (int64_t i = 0; i < kShortcutBatch; ++i) {
    const auto t = levels[0][i].item<double>();
    const auto d = levels[1][i].item<double>();
    const auto told = levels[2][i].item<double>();
    if (d == 0) {
      ++flows;
      EXPECT_EQ(std::fmod(8 * t, 1), 0);
    } else {
      lengths.insert(2 * d);
      EXPECT_EQ(std::fmod(t, 2 * d), 0) << t << ' ' << d;
      EXPECT_EQ(told, d == 0.125 ? 0 : d);
    }
    EXPECT_GT(t, 0);
    EXPECT_LE(t, 1);
  }
  EXPECT_EQ(flows, 3 * kShortcutBatch / 4);
  EXPECT_THAT(lengths, testing::ElementsAre(0.25, 0.5, 1));
}

TEST(ShortcutObjective, StepsThatDoNotDoubleAreAMistake) {
  const auto mistakes = mistakes_of([] {
    refuse_mistakes("", [](const Complain& complain) { validate(ShortcutOptions{.finest = 12}, complain); });
  });
  EXPECT_THAT(mistakes, testing::ElementsAre("finest must be a power of two, because steps double, got 12"));
}

// A student that is its own target and says 0: flow matching's part is the data's, two steps' is 0.
TEST(ShortcutObjective, OneLossIsOfTheDataTheOtherOfItself) {
  Model student = test::tiny_model(test::tiny_options(Parameterization::linear_map), 1);
  no_grad([&] {
    for (auto& parameter : student.parameters()) parameter.zero_();
  });
  const Objective objective =
      objective_of(ShortcutOptions{.finest = 8}, {.student = student, .target = &student, .seed = 7});
  const TrainingBatch batch = test::training_batch(test::tiny_batch(0, kShortcutBatch), 0);
  const Tensor losses = objective.losses(batch);
  const Draws draws = objective.draw(batch);
  const Tensor of_data = (draws.noise - batch.x).square().flatten(1).mean(1);
  const Tensor expected = torch::where(draws.levels[1] > 0, torch::zeros_like(of_data), of_data);
  EXPECT_LT(test::largest_difference(losses, expected), 1e-5);
  EXPECT_EQ(objective.curriculum(5).decay, 0.999);
}

}  // namespace
}  // namespace cm
