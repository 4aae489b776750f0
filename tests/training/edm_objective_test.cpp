#include "cm/training/edm_objective.h"

#include <gtest/gtest.h>

#include <numeric>

#include "src/training/adaptive_weighting.h"
#include "support/closeness.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

Model edm_student() {
  return test::tiny_model(test::tiny_options(Parameterization::edm), 1);
}

TEST(EdmObjective, LearnsNothingBesidesUnlessAsked) {
  const Model student = edm_student();
  EXPECT_EQ(objective_of(EdmOptions{}, {.student = student}).learned, nullptr);
  EXPECT_NE(objective_of(EdmOptions{.uncertainty = true}, {.student = student}).learned, nullptr);
}

// As SiT trains: times of the linear path, in all of its quarters equally often.
TEST(EdmObjective, LevelsMayBeUniformInTime) {
  const Model student = edm_student();
  const EdmOptions options{.levels = LevelDistribution::uniform};
  std::vector<int64_t> samples(4096);
  std::iota(samples.begin(), samples.end(), 0);
  const Tensor sigma = objective_of(options, {.student = student, .seed = 7}).sigmas(0, samples);
  const Tensor t = sigma / (1 + sigma);
  EXPECT_GT(t.min().item<double>(), 0);
  EXPECT_LT(t.max().item<double>(), 1);
  for (int quarter = 0; quarter < 4; ++quarter) {
    const Tensor inside = (t >= quarter / 4.0) & (t < (quarter + 1) / 4.0);
    EXPECT_NEAR(inside.to(torch::kFloat64).mean().item<double>(), 0.25, 0.02);
  }
}

// EDM2 Eq. 21.
TEST(EdmObjective, UncertaintyWeighsTheLossAndIsAddedToIt) {
  const Model student = edm_student();
  const TrainingBatch batch = test::training_batch(test::tiny_batch(3), 2);
  const torch::NoGradGuard guard;
  const Tensor plain = objective_of(EdmOptions{}, {.student = student, .seed = 7}).losses(batch);
  const Objective objective = objective_of(EdmOptions{.uncertainty = true}, {.student = student, .seed = 7});
  const Tensor sigma = objective.sigmas(batch.step, batch.samples).to(torch::kFloat32);
  const Tensor u = LossUncertainty(7)->forward(sigma);
  EXPECT_GT(test::largest(u), 0.1);
  EXPECT_LT(test::relative_difference(objective.losses(batch), plain / u.exp() + u), 1e-6);
}

// The minimum of e^−u L + u is at u = ln L.
TEST(EdmObjective, UncertaintyLearnsTheLogarithmOfTheLoss) {
  const LossUncertainty uncertainty(3);
  const Tensor sigma = torch::tensor({0.01, 0.3, 20.0});
  const Tensor losses = torch::tensor({0.1, 1.0, 5.0});
  OptimizerOptions options;
  options.rule = OptimizerRule::adam;
  Optimizer optimizer(options, uncertainty->parameters());
  const auto weights = magnitude_preserving_weights(*uncertainty);
  for (int i = 0; i < 1500; ++i) {
    normalize_weights(weights);
    const Tensor u = uncertainty->forward(sigma);
    optimizer.zero_grad();
    (losses / u.exp() + u).sum().backward();
    optimizer.step(1e-2);
  }
  EXPECT_LT(test::largest_difference(uncertainty->forward(sigma), losses.log()), 0.05);
}

}  // namespace
}  // namespace cm
