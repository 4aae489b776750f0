#include "cm/training/kd_objective.h"

#include <gtest/gtest.h>

#include "cm/diffusion/gaussian_mixture.h"
#include "cm/diffusion/sampler.h"
#include "cm/kernels/normal.h"
#include "cm/training/formula_model.h"
#include "support/closeness.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

using test::largest_difference;

Model student_of(const Denoiser& formula) {
  ModelOptions options = test::tiny_options(Parameterization::edm);
  options.image.classes = 0;
  return formula_model(formula, options, torch::kCPU);
}

TrainingBatch pairs_of(const Tensor& x_T, const Tensor& x) {
  return test::training_batch({x, {}, x_T}, /*step=*/0);
}

Objective kd_of(const Model& student, Distance distance = Distance::l2) {
  return objective_of(KdOptions{.distance = distance},
                      {.student = student, .distance = make_distance({.kind = distance}), .seed = 7});
}

// f(x, σ) = x/σ + σ/160: by hand, f(x_T, 80) = x_T/80 + 1/2 and nothing else.
TEST(KdObjective, TheLossIsTheDistanceBetweenOneStepAndThePairsImage) {
  const Model student = student_of([](const Tensor& x, const Tensor& sigma) {
    return x / per_sample(sigma, x) + per_sample(sigma, x) / 160;
  });
  const Batch drawn = test::tiny_batch(0);
  const Tensor difference = drawn.x_T / 80 + 0.5 - drawn.x;
  const TrainingBatch batch = pairs_of(drawn.x_T, drawn.x);
  const auto expect_near = [](const Tensor& actual, const Tensor& expected) {
    EXPECT_LT(largest_difference(actual, expected), 1e-5);
  };
  expect_near(kd_of(student).losses(batch), difference.square().mean({1, 2, 3}));
  expect_near(kd_of(student, Distance::l1).losses(batch), difference.abs().mean({1, 2, 3}));
  EXPECT_EQ(kd_of(student).losses(batch).sizes(), at::IntArrayRef({6}));
  EXPECT_TRUE(torch::equal(kd_of(student).sigmas(5, {3, 1}), torch::full({2}, 80, torch::kFloat64)));
}

// What is drawn is the pair's own noise, as it is: no other, and no copy.
TEST(KdObjective, ThePairsNoiseIsTheDraw) {
  const test::TinyRun run(kObjective<KdOptions>);
  const TrainingBatch batch = test::training_batch(test::tiny_batch(0), 0);
  const Draws draws = run.objective.draw(batch);
  EXPECT_TRUE(draws.noise.is_same(batch.x_T));
  EXPECT_TRUE(draws.levels.empty());
  TrainingBatch images = batch;
  images.x_T = Tensor();
  EXPECT_THROW(run.objective.draw(images), c10::Error);
}

// Of a teacher that is exact the student that is exact has no loss but the error of the walk.
TEST(KdObjective, TheExactMapHasNoLossButTheSolvers) {
  const GaussianMixture data{.means = torch::tensor({{-0.6}, {0.5}}, torch::kFloat64),
                             .weights = torch::tensor({0.4, 0.6}, torch::kFloat64),
                             .stds = torch::tensor({0.2, 0.3}, torch::kFloat64)};
  const SigmaOptions range;
  const Tensor x_T = 80 * normal({.seed = 3}, sample_range(0, 16), {1, 1, 1});
  const Denoiser exact = consistency_of(data, range.min);
  const auto loss_after = [&](int64_t levels) {
    auto sigmas = karras_sigmas(range, levels);
    std::ranges::reverse(sigmas);
    const Tensor x = sample_ode(Solver::heun, denoiser_of(data), x_T, sigmas);
    return kd_of(student_of(exact)).losses(pairs_of(x_T, x)).mean().item<double>();
  };
  const double coarse = loss_after(18);
  EXPECT_GT(coarse, 1e-7);
  EXPECT_LT(coarse, 1e-3);
  EXPECT_LT(loss_after(72), coarse / 50);  // an error of second order, squared: 1/256
}

TEST(KdObjective, TheStudentLearnsThePairsOfItsClasses) {
  test::TinyRun run(kObjective<KdOptions>, test::tiny_train_options(), test::tiny_network(/*dropout=*/0));
  const Batch batch = test::tiny_batch(0);
  const auto loss = [&](const Batch& of) {
    const torch::NoGradGuard guard;
    return run.objective.losses(test::training_batch(of, 0)).mean().item<double>();
  };
  const double before = loss(batch);
  for (int i = 0; i < 60; ++i) run.trainer.step(batch);
  const double after = loss(batch);
  EXPECT_LT(after, 0.5 * before);
  EXPECT_GT(std::abs(loss({batch.x, (batch.labels + 1) % 3, batch.x_T}) - after), 0.01 * after);
}

}  // namespace
}  // namespace cm
