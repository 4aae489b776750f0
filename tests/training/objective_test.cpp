#include "cm/training/objective.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "support/closeness.h"
#include "support/dropout_keys.h"
#include "support/synthetic_lpips.h"
#include "support/tiny_run.h"
#include "training/level_draws.h"
#include "training/loss_inputs.h"

namespace cm {
namespace {

using test::kL2;
using test::kLevelDraws;
using test::largest_difference;
using test::TinyRun;

TrainingBatch batch_from(int64_t size, int64_t first = 0, int64_t step = 3) {
  return test::training_batch(test::part_of(test::tiny_batch(step, 12), first, size), step, first);
}

// How often each level occurs among draws of a method's σ.
std::map<double, double> frequencies(const Objective& objective, int64_t step) {
  const Tensor sigmas = objective.sigmas(step, sample_range(0, kLevelDraws));
  std::map<double, double> share;
  for (int64_t i = 0; i < kLevelDraws; ++i) share[sigmas[i].item<double>()] += 1.0 / kLevelDraws;
  return share;
}

void expect_frequency(double observed, double probability) {
  EXPECT_NEAR(observed, probability, 5 * std::sqrt(probability * (1 - probability) / kLevelDraws));
}

TEST(Objective, EdmDrawsLogNormalLevels) {
  const Model student = test::tiny_model(test::tiny_options(Parameterization::edm), 1);
  const Objective objective =
      objective_of(EdmOptions{.p_mean = -1.2, .p_std = 1.2}, {.student = student, .seed = 7});
  test::expect_log_normal_levels(objective, -1.2, 1.2);
}

TEST(Objective, CdDrawsEveryPairEquallyOften) {
  Model model = test::tiny_model(test::tiny_options(), 1);
  const Objective objective = objective_of(
      CdOptions{.n = 6}, {.student = model, .target = &model, .teacher = &model, .distance = kL2, .seed = 7});
  const auto share = frequencies(objective, 0);
  const auto grid = karras_sigmas({}, 6);
  ASSERT_EQ(share.size(), 5U);
  EXPECT_FALSE(share.contains(grid.front()));  // σ_min is never the larger level
  for (size_t i = 1; i < grid.size(); ++i) expect_frequency(share.at(grid[i]), 0.2);
}

TEST(Objective, IctDrawsPairsByTheirLogNormalMass) {
  Model model = test::tiny_model(test::tiny_options(), 1);
  const IctOptions options{.levels = {.schedule = LevelSchedule::fixed, .s0 = 6}};
  const auto share = frequencies(
      objective_of(options, {.student = model, .distance = kL2, .total_steps = 100, .seed = 7}), 0);
  const auto grid = karras_sigmas({}, 6);
  const auto mass = [&](double sigma) {
    return std::erf((std::log(sigma) - options.p_mean) / (std::sqrt(2.0) * options.p_std));
  };
  const double all = mass(grid.back()) - mass(grid.front());
  for (size_t i = 1; i < grid.size(); ++i) {
    const auto found = share.find(grid[i]);
    expect_frequency(found == share.end() ? 0 : found->second, (mass(grid[i]) - mass(grid[i - 1])) / all);
  }
}

TEST(Objective, DrawsDependOnStepSampleAndSeedAlone) {
  Model model = test::tiny_model(test::tiny_options(Parameterization::edm), 1);
  const Objective objective = objective_of(EdmOptions{}, {.student = model, .seed = 7});
  const Tensor all = objective.sigmas(2, sample_range(0, 8));
  EXPECT_TRUE(torch::equal(objective.sigmas(2, sample_range(5, 3)), all.narrow(0, 5, 3)));
  EXPECT_FALSE(torch::equal(objective.sigmas(3, sample_range(0, 8)), all));
  EXPECT_FALSE(torch::equal(
      objective_of(EdmOptions{}, {.student = model, .seed = 8}).sigmas(2, sample_range(0, 8)), all));
}

// The losses of a batch are those of its parts, so that micro-batches and processes change nothing.
TEST(Objective, ABatchIsTheSumOfItsParts) {
  for (const auto method : test::kMethods) {
    const TinyRun run(method, test::tiny_train_options());
    const torch::NoGradGuard guard;
    const Tensor whole = run.objective.losses(batch_from(12));
    const Tensor parts =
        torch::cat({run.objective.losses(batch_from(4)), run.objective.losses(batch_from(8, 4))});
    EXPECT_EQ(whole.sizes(), torch::IntArrayRef({12}));
    EXPECT_LT(test::elementwise_difference(parts, whole), 2e-4) << to_string(method);
  }
}

// So that a step can be recorded and played with other draws.
TEST(Objective, WithItsDrawsALossDoesNotDependOnTheStep) {
  for (const auto method : test::kMethods) {
    SCOPED_TRACE(to_string(method));
    const TinyRun run(method, test::tiny_train_options());
    const torch::NoGradGuard guard;
    TrainingBatch batch = batch_from(6, 0, /*step=*/1);
    const Tensor drawn_within = run.objective.losses(batch);
    batch.draws = run.objective.draw(batch);
    const Tensor losses = run.objective.losses(batch);
    EXPECT_TRUE(torch::equal(losses, drawn_within));
    batch.step = 3;
    EXPECT_TRUE(torch::equal(run.objective.losses(batch), losses));
    batch.draws = run.objective.draw(batch);
    EXPECT_FALSE(torch::equal(run.objective.losses(batch), losses));
  }
}

TEST(Objective, TeacherTargetAndStartGetNoGradient) {
  for (const auto method : {kObjective<CdOptions>, kObjective<CtOptions>, kObjective<TcmOptions>,
                            kObjective<ContinuousCdOptions>}) {
    const TinyRun run(method);
    run.objective.losses(batch_from(6)).mean().backward();
    for (const auto& parameter : run.student.parameters()) EXPECT_TRUE(parameter.grad().defined());
    for (const auto& parameter : run.target.parameters()) EXPECT_FALSE(parameter.grad().defined());
    for (const auto& parameter : run.teacher.parameters()) EXPECT_FALSE(parameter.grad().defined());
    for (const auto& parameter : run.start.parameters()) EXPECT_FALSE(parameter.grad().defined());
  }
}

// iCT's target is the student itself, behind a stop-gradient: the gradient is that of CT with a copy.
TEST(Objective, IctsTargetIsTheStudentWithoutGradient) {
  const IctOptions ict{.levels = {.schedule = LevelSchedule::fixed, .s0 = 2}};
  const CtOptions ct{.levels = ict.levels};
  const auto gradient = [&](bool as_ict) {
    const Model student = test::tiny_model(test::tiny_options(), 1);
    const Model copy = test::tiny_model(test::tiny_options(), 1);
    const auto objective =
        as_ict
            ? objective_of(ict, {.student = student, .distance = kL2, .total_steps = 10, .seed = 7})
            : objective_of(
                  ct, {.student = student, .target = &copy, .distance = kL2, .total_steps = 10, .seed = 7});
    objective.losses(batch_from(6)).mean().backward();
    return student.parameters().front().grad().clone();
  };
  // Two levels are one pair, and λ = 1/(t − r) one number.
  EXPECT_LT(test::relative_difference(gradient(true) * (80 - 0.002), gradient(false)), 1e-5);
}

// LPIPS in the place of d: the student learns from it, the target does not, and the network stays as it is.
TEST(Objective, LpipsTrainsTheStudentAlone) {
  ModelOptions options = test::tiny_options();
  options.image.channels = 3;
  const Model student = test::tiny_model(options, 1);
  const Model target = test::tiny_model(options, 2);
  const auto lpips = test::synthetic_lpips();
  const DistanceFunction d = make_distance({.kind = Distance::lpips}, lpips);
  TrainingBatch batch = batch_from(1);
  batch.x = batch.x.repeat({1, 3, 1, 1});
  const Objective objective = objective_of(
      CtOptions{}, {.student = student, .target = &target, .distance = d, .total_steps = 10, .seed = 7});
  const Tensor losses = objective.losses(batch);
  EXPECT_GT(losses.item<double>(), 0);
  losses.sum().backward();
  for (const auto& parameter : student.parameters()) EXPECT_TRUE(parameter.grad().defined());
  EXPECT_GT(test::largest(student.parameters().front().grad()), 0);
  for (const auto& parameter : target.parameters()) EXPECT_FALSE(parameter.grad().defined());
  for (const auto& parameter : lpips->parameters()) EXPECT_FALSE(parameter.grad().defined());
}

// At t = r the data step stays in place: where student and target have the same weights, only different masks
// could make a difference.
TEST(Objective, StudentAndTargetShareADropoutMask) {
  ModelOptions options = test::tiny_options(Parameterization::edm);
  common_options(options.network).dropout = 0.5;
  options.sigma.min = 1;
  options.sigma.max = 1;
  const Model student = test::tiny_model(options, 1);
  const Model target = test::tiny_model(options, 1);
  const CtOptions ct{.levels = {.schedule = LevelSchedule::fixed, .s0 = 2}};
  const TrainingBatch batch = batch_from(6);
  const Tensor losses =
      objective_of(ct, {.student = student, .target = &target, .distance = kL2, .total_steps = 10, .seed = 7})
          .losses(batch);
  EXPECT_EQ(test::largest(losses), 0);

  const Tensor sigma = torch::ones({6});
  const Tensor one = student.denoiser(batch.labels, test::dropout_keys(1, 6))(batch.x, sigma);
  const Tensor other = student.denoiser(batch.labels, test::dropout_keys(2, 6))(batch.x, sigma);
  EXPECT_GT(largest_difference(one, other), 1e-3);
}

// Of the same images, noise and levels.
TEST(Objective, EachStepAndSampleHasItsOwnMask) {
  ModelOptions options = test::tiny_options(Parameterization::edm);
  common_options(options.network).dropout = 0.5;
  const Model student = test::tiny_model(options, 1);
  const Objective objective = objective_of(EdmOptions{}, {.student = student, .seed = 7});
  const torch::NoGradGuard guard;
  TrainingBatch batch = batch_from(6);
  batch.draws = objective.draw(batch);
  const Tensor losses = objective.losses(batch);
  const auto with_keys_of = [&](const TrainingBatch& other) {
    TrainingBatch changed = batch;
    changed.draws->dropout_keys = objective.draw(other).dropout_keys;
    return objective.losses(changed);
  };
  EXPECT_TRUE(torch::equal(with_keys_of(batch), losses));
  EXPECT_GT(largest_difference(with_keys_of(batch_from(6, 0, /*step=*/4)), losses), 1e-6);
  EXPECT_GT(largest_difference(with_keys_of(batch_from(6, /*first=*/1)), losses), 1e-6);
}

TEST(Objective, CurriculaSayWhereAMethodStands) {
  Model model = test::tiny_model(test::tiny_options(), 1);
  const auto edm = objective_of(EdmOptions{}, {.student = model, .seed = 1}).curriculum(5);
  EXPECT_FALSE(edm.levels || edm.decay);
  const auto cd =
      objective_of(CdOptions{.n = 18, .mu = 0.95},
                   {.student = model, .target = &model, .teacher = &model, .distance = kL2, .seed = 1})
          .curriculum(5);
  EXPECT_EQ(cd.levels, 18);
  EXPECT_EQ(cd.decay, 0.95);
  const CtOptions options{.levels = {.s0 = 2, .s1 = 150},
                          .target = {.schedule = DecaySchedule::adaptive, .mu = 0.9}};
  const auto ct =
      objective_of(options,
                   {.student = model, .target = &model, .distance = kL2, .total_steps = 100, .seed = 1})
          .curriculum(0);
  EXPECT_EQ(ct.levels, 2);
  EXPECT_NEAR(ct.decay.value(), 0.81, 1e-12);
  const auto ict =
      objective_of(IctOptions{}, {.student = model, .distance = kL2, .total_steps = 400'000, .seed = 1})
          .curriculum(50'000);
  EXPECT_EQ(ict.levels, 21);
  EXPECT_FALSE(ict.decay);
}

}  // namespace
}  // namespace cm
