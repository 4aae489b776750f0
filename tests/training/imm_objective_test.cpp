#include "cm/training/imm_objective.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/closeness.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

constexpr int64_t kImmBatch = 64;

struct ImmDraws {
  Model student = test::tiny_model(test::tiny_options(Parameterization::linear_map), 1);
  Objective objective = objective_of(ImmOptions{}, {.student = student, .seed = 7});
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
