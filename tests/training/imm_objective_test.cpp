#include "cm/training/imm_objective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "support/closeness.h"
#include "support/mistakes_of.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

constexpr int64_t kImmBatch = 64;

struct ImmDraws {
  ImmOptions options = {};
  Parameterization path = Parameterization::linear_map;
  Model student = test::tiny_model(test::tiny_options(path), 1);
  Objective objective = objective_of(options, {.student = student, .seed = 7});
  TrainingBatch batch = test::training_batch(test::tiny_batch(0, kImmBatch), 0);
  std::vector<Tensor> levels = objective.draw(batch).levels;
};

TEST(ImmObjective, AGroupSharesItsTimes) {
  const ImmDraws draws;
  for (const Tensor& level : draws.levels) {
    const Tensor groups = level.view({-1, 4});
    EXPECT_TRUE(torch::equal(groups.amax(1), groups.amin(1)));
    EXPECT_FALSE(torch::equal(groups[0], groups[1]));
  }
}

// σ_r = max(σ_s, σ_t − 165.67 · 2^−12), in σ = t/(1 − t).
TEST(ImmObjective, WhatTheStudentIsComparedWithStartsALittleLower) {
  const ImmDraws draws;
  const auto level = [](const Tensor& t) { return t.to(torch::kFloat64) / (1 - t.to(torch::kFloat64)); };
  const Tensor sigma_t = level(draws.levels[0]);
  const Tensor sigma_s = level(draws.levels[1]);
  const Tensor expected = torch::maximum(sigma_s, sigma_t - 0.994 / 0.006 / 4096);
  EXPECT_LT(test::relative_difference(level(draws.levels[2]), expected), 1e-3);
  EXPECT_TRUE((draws.levels[1] < draws.levels[0]).all().item<bool>());
  EXPECT_LE(draws.levels[0].max().item<double>(), 0.994);
}

TEST(ImmObjective, WeighsTimesByTheirSignal) {
  const ImmDraws draws;
  const Tensor t = draws.levels[0].to(torch::kFloat64);
  const Tensor lambda = 2 * ((1 - t) / t).log();
  const Tensor expected =
      0.5 * torch::sigmoid(5 - lambda) * 2 / (t * (1 - t)) * (1 - t) / ((1 - t).square() + t.square());
  EXPECT_LT(test::relative_difference(draws.levels[3], expected), 1e-5);
}

// Whatever the network's path: ratios of noise to data are the same, tan(t) on that of TrigFlow.
TEST(ImmObjective, TimesAreThoseOfTheLinearPath) {
  const ImmDraws linear;
  const ImmDraws trig{.path = Parameterization::trig_map};
  for (size_t i = 0; i < 3; ++i) {
    const Tensor eta = linear.levels[i].to(torch::kFloat64) / (1 - linear.levels[i].to(torch::kFloat64));
    EXPECT_LT(test::relative_difference(trig.levels[i].to(torch::kFloat64).tan(), eta), 1e-4) << i;
  }
  EXPECT_TRUE(torch::equal(trig.levels[3], linear.levels[3]));
}

// The authors' CIFAR-10 model: no time below 0.006.
TEST(ImmObjective, NoTimeIsBelowTheLowest) {
  for (const LevelDistribution times : {LevelDistribution::uniform, LevelDistribution::log_normal}) {
    const ImmDraws draws{.options = {.t_min = 0.3, .times = times}};
    for (size_t i = 0; i < 3; ++i) EXPECT_GE(draws.levels[i].min().item<double>(), 0.3);
    EXPECT_TRUE((draws.levels[1] < draws.levels[0]).all().item<bool>());
    EXPECT_LE(draws.levels[0].max().item<double>(), 0.994);
  }
}

// Of 4,096 groups: ln η ~ N(−1.1, 2²), of which no more than 1e-3 lies outside of the times allowed; s is of
// that distribution below t.
TEST(ImmObjective, TimesMayBeLogNormal) {
  const ImmDraws draws{.options = {.t_min = 1e-6, .t_max = 0.9999, .times = LevelDistribution::log_normal}};
  std::vector<int64_t> samples(16384);
  std::iota(samples.begin(), samples.end(), 0);
  const Tensor ln_eta = draws.objective.sigmas(0, samples).log();
  EXPECT_NEAR(ln_eta.mean().item<double>(), -1.1, 0.1);
  EXPECT_NEAR(ln_eta.std().item<double>(), 2, 0.1);
  const Tensor t = draws.levels[0].to(torch::kFloat64);
  const Tensor s = draws.levels[1].to(torch::kFloat64);
  const auto below = [](const Tensor& time) {
    return at::special_ndtr(((time / (1 - time)).log() + 1.1) / 2);
  };
  EXPECT_NEAR((below(s) / below(t)).mean().item<double>(), 0.5, 0.15);
}

// Where nothing is between them in fp32 there is no infinity.
TEST(ImmObjective, AnIntervalOfNoLengthHasAGradient) {
  const ImmDraws draws;
  Draws same = draws.objective.draw(draws.batch);
  same.levels[1] = same.levels[0];
  same.levels[2] = same.levels[0];
  TrainingBatch batch = draws.batch;
  batch.draws = same;
  draws.objective.losses(batch).sum().backward();
  for (const auto& parameter : draws.student.parameters())
    EXPECT_TRUE(!parameter.grad().defined() || parameter.grad().isfinite().all().item<bool>());
}

TEST(ImmObjective, TimesNeedRoom) {
  const auto mistakes = mistakes_of([] {
    refuse_mistakes(
        "", [](const Complain& complain) { validate(ImmOptions{.t_min = 0.5, .t_max = 0.4}, complain); });
  });
  EXPECT_THAT(mistakes, testing::ElementsAre("t_min must be below t_max 0.4, got 0.5"));
}

TEST(ImmObjective, LossesAreNumbersWithGradients) {
  const ImmDraws draws;
  const Tensor losses = draws.objective.losses(draws.batch);
  EXPECT_TRUE(losses.isfinite().all().item<bool>());
  losses.sum().backward();
  for (const auto& parameter : draws.student.parameters())
    EXPECT_TRUE(!parameter.grad().defined() || parameter.grad().isfinite().all().item<bool>());
}

}  // namespace
}  // namespace cm
