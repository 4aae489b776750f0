#include "cm/training/ect_objective.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "cm/training/sampling.h"
#include "src/training/ect_pairs.h"
#include "support/closeness.h"
#include "support/each_near.h"
#include "support/tiny_run.h"
#include "training/level_draws.h"

namespace cm {
namespace {

using test::largest_difference;

Tensor levels(const std::vector<double>& values) {
  return torch::tensor(values, torch::kFloat64);
}

TrainingBatch batch_at(int64_t step) {
  return test::training_batch(test::tiny_batch(step), step);
}

// By hand: at large t the widening is 1, so r = t (1 − 2^−(stage + 1)); at small t it is 1 + k/2 = 5.
TEST(EctObjective, TheGapHalvesInEveryStage) {
  const EctPairOptions options{.steps_per_stage = 10};
  const auto ratio = [&](double t, int64_t step) {
    return ect_previous_level(options, levels({t}), step).item<double>() / t;
  };
  EXPECT_NEAR(ratio(60, 0), 0.5, 1e-12);
  EXPECT_NEAR(ratio(60, 9), 0.5, 1e-12);
  EXPECT_NEAR(ratio(60, 10), 0.75, 1e-12);
  EXPECT_NEAR(ratio(60, 35), 1 - 1.0 / 16, 1e-12);
  EXPECT_EQ(ratio(1e-9, 0), 0);   // 1 − 5/2
  EXPECT_EQ(ratio(1e-9, 10), 0);  // 1 − 5/4
  EXPECT_NEAR(ratio(1e-9, 20), 1 - 5.0 / 8, 1e-8);
  const double sigmoid = 1 / (1 + std::exp(2.0));
  EXPECT_NEAR(ratio(2, 20), 1 - (1 + 8 * sigmoid) / 8, 1e-12);
}

// As where a run goes on from another's last stage, and as in TCM's, whose gap ends at a thousandth.
TEST(EctObjective, StagesBeginWhereTheyAreToldAndEndAtTheLimit) {
  const EctPairOptions options{.q = 4, .steps_per_stage = 10, .first_stage = 1, .ratio_limit = 0.9961};
  const auto ratio = [&](int64_t step) {
    return ect_previous_level(options, levels({60}), step).item<double>() / 60;
  };
  EXPECT_NEAR(ratio(0), 1 - 1.0 / 16, 1e-12);
  EXPECT_NEAR(ratio(10), 1 - 1.0 / 64, 1e-12);
  EXPECT_NEAR(ratio(20), 1 - 1.0 / 256, 1e-12);  // 0.99609
  EXPECT_NEAR(ratio(30), 0.9961, 1e-12);
  EXPECT_NEAR(ratio(100'000), 0.9961, 1e-12);
}

// At t = 2 and r = 1.5, σ_d = ½.
TEST(EctObjective, WeighsPairsByTheirGapOrAsTheirNoise) {
  const SigmaPair pair{levels({2}), levels({1.5})};
  EXPECT_NEAR(ect_weight({}, pair, 0.5).item<double>(), 2, 1e-12);
  EXPECT_NEAR(ect_weight({.weighting = EctWeighting::karras}, pair, 0.5).item<double>(), 4.25, 1e-12);
}

// There is always something between t and r.
TEST(EctObjective, AfterManyStagesTheLossIsStillANumber) {
  const Model student = test::tiny_model(test::tiny_options(), 1);
  const EctOptions options{.pairs = {.steps_per_stage = 1}};
  const Tensor losses = objective_of(options, {.student = student, .seed = 7}).losses(batch_at(200));
  EXPECT_TRUE(losses.isfinite().all().item<bool>());
  EXPECT_GT(losses.min().item<double>(), 0);
}

TEST(EctObjective, DrawsLogNormalLevels) {
  const Model student = test::tiny_model(test::tiny_options(), 1);
  test::expect_log_normal_levels(objective_of(EctOptions{}, {.student = student, .seed = 7}), -1.1, 2.0);
}

// Where every r is 0 the objective is EDM's, as a norm: (√(‖D(x_t, t) − x‖² + c²) − c)/t, or by the weighting
// of ImageNet's form.
TEST(EctObjective, AtRZeroTheTargetIsTheImage) {
  const Model student = test::tiny_model(test::tiny_options(), 1);
  EctOptions options{.pairs = {.k = 1e6, .huber_c = 0.06}};  // so wide a gap that r is 0 for all t
  const Objective objective = objective_of(options, {.student = student, .seed = 7});
  // EDM's objective draws the same ln t and noise: its loss is weight · mean (D − x)².
  const EdmOptions edm{.p_mean = -1.1, .p_std = 2.0, .weighting = Weighting::uniform};
  Model denoiser = test::tiny_model(test::tiny_options(Parameterization::edm), 1);
  const Tensor square = objective_of(edm, {.student = denoiser, .seed = 7}).losses(batch_at(3)).detach() * 16;
  const Tensor t = objective.sigmas(3, sample_range(0, 6)).to(torch::kFloat32);
  const Tensor norm = (square + 0.06 * 0.06).sqrt() - 0.06;
  EXPECT_LT(test::relative_difference(objective.losses(batch_at(3)), norm / t), 1e-5);
  options.pairs.weighting = EctWeighting::karras;
  const Objective of_imagenet = objective_of(options, {.student = student, .seed = 7});
  EXPECT_LT(test::relative_difference(of_imagenet.losses(batch_at(3)), norm * (1 / t.square() + 4)), 1e-5);
}

// Stage after stage, r → t and the loss goes to the size of ‖df/dt‖. (The network's time, 250 ln σ, must not
// change by much between the two.)
TEST(EctObjective, TheLossHasALimitAsThePairsCloseUp) {
  const Model student = test::tiny_model(test::tiny_options(), 1);
  const auto losses_at = [&](double q) {
    return objective_of(EctOptions{.pairs = {.q = q}}, {.student = student, .seed = 7})
        .losses(batch_at(3))
        .detach();
  };
  const Tensor fine = losses_at(32768);
  EXPECT_LT(test::elementwise_difference(losses_at(16384), fine), 0.05);
  EXPECT_GT(test::largest_difference(losses_at(2), fine), 0);
}

// ‖Δ‖ has no derivative at Δ = 0, and a student may well reproduce its target there.
TEST(EctObjective, TheGradientOfTheNormAtZeroIsZero) {
  const Tensor difference = torch::zeros({2, 3}, torch::kFloat64).requires_grad_(true);
  for (const double c : {0.0, 0.06}) {
    const Tensor norm = huber_norm(difference, c);
    EXPECT_EQ(test::largest(norm), 0);
    EXPECT_EQ(test::largest(torch::autograd::grad({norm.sum()}, {difference})[0]), 0) << c;
  }
  const Tensor other = levels({3, -4}).view({1, 2});
  EXPECT_NEAR(huber_norm(other, 0).item<double>(), 5, 1e-12);
  EXPECT_NEAR(huber_norm(other, 12).item<double>(), 1, 1e-12);
}

TEST(EctObjective, ADenoiserCanBeMadeTheIdentityAtZero) {
  const Denoiser broken_at_zero = [](const Tensor& x, const Tensor& sigma) {
    return 2 * x + per_sample(sigma.log(), x);
  };
  const Tensor x = levels({1, 2, 3}).view({3, 1});
  const Tensor sigma = levels({0, 1, 0});
  const Tensor y = identity_at_zero(broken_at_zero)(x, sigma);
  EXPECT_TRUE(torch::equal(y, levels({1, 4, 3}).view({3, 1})));
}

// The student of the file has its boundary at ε; training has it at 0.
TEST(EctObjective, TrainsByTheScalingsOfEdm) {
  const Model student = test::tiny_model(test::tiny_options(), 1);
  const Model diffusion = test::tiny_model(test::tiny_options(Parameterization::edm), 1);
  const Tensor a = objective_of(EctOptions{}, {.student = student, .seed = 7}).losses(batch_at(0)).detach();
  const Tensor b = objective_of(EctOptions{}, {.student = diffusion, .seed = 7}).losses(batch_at(0)).detach();
  EXPECT_TRUE(torch::equal(a, b));
}

// The second step: x + τ z at τ = 0.821, where the boundary is at 0.003.
TEST(EctObjective, SamplingAddsTheFullNoise) {
  ModelOptions options = test::tiny_options();
  options.sigma.min = 0.3;  // large, so that √(τ² − ε²) is not τ
  options.sampling.sigmas = {80, 0.821};
  options.sampling.full_noise = true;
  const SamplerOptions sampler = choose_sampler({.steps = 2}, options);
  EXPECT_THAT(sampler.sigmas, test::each_near({80, 0.821, 0}, 0));
  EXPECT_EQ(evaluations(sampler), 2);
  EXPECT_THAT(choose_sampler({.indices = {0, 39}, .grid = 40}, options).sigmas,
              test::each_near({80, 0}, 1e-12));

  const Model model = test::tiny_model(options, 3);
  const SampleNoise noise = seeded_noise(options, sampler, 7, 0, 2);
  const Tensor labels = torch::tensor({0, 1});
  const torch::NoGradGuard guard;
  const Denoiser f = clamped(model.denoiser(labels));
  const Tensor first = f(noise.x_T, torch::full({2}, 80.0)) + 0.821 * noise.noise(0);
  EXPECT_LT(largest_difference(sample(model, sampler, noise, labels), f(first, torch::full({2}, 0.821))),
            1e-6);
}

}  // namespace
}  // namespace cm
