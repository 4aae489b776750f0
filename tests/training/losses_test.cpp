#include "cm/training/losses.h"

#include <gtest/gtest.h>

#include "cm/base/random.h"
#include "cm/diffusion/discretization.h"
#include "cm/diffusion/distance.h"
#include "support/closeness.h"
#include "support/gaussian.h"
#include "training/loss_inputs.h"

namespace cm {
namespace {

using test::kL2;
using test::largest_difference;
using test::three_levels;
using test::three_points;

Tensor ones() {
  return torch::ones({3}, torch::kFloat64);
}

TEST(Losses, APerfectDenoiserHasNoLoss) {
  const Tensor x0 = three_points(1);
  const Denoiser perfect = [&](const Tensor&, const Tensor&) { return x0; };
  EXPECT_EQ(test::largest(denoising_loss(perfect, x0, three_points(2), three_levels(0.1, 1, 80), ones())), 0);
}

TEST(Losses, DenoisingIsTheWeightedMeanSquare) {
  const Tensor x0 = three_points(1);
  const Tensor noise = three_points(2);
  const Tensor sigma = three_levels(0.1, 1, 80);
  const Denoiser echo = [](const Tensor& x, const Tensor&) { return x; };  // is off by σ z
  const Tensor expected = 2 * sigma.square() * noise.square().mean(1);
  EXPECT_LT(test::relative_difference(denoising_loss(echo, x0, noise, sigma, 2 * ones()), expected), 1e-12);
}

TEST(Losses, TheDataStepReusesTheNoise) {
  const Tensor x0 = three_points(1);
  const Tensor z = three_points(2);
  const SigmaPair pair{three_levels(0.5, 3, 80), three_levels(0.1, 2, 0.002)};
  const Tensor x_t = x0 + per_sample(pair.t, x0) * z;
  EXPECT_LT(largest_difference(data_step()(x_t, x0, pair), x0 + per_sample(pair.r, x0) * z), 1e-12);
}

TEST(Losses, TheTeachersStepIsTheSolvers) {
  const Denoiser teacher = test::denoiser_of(test::Gaussian{torch::zeros({1}), 0.5});
  const SigmaPair pair{three_levels(0.5, 3, 80), three_levels(0.1, 2, 40)};
  const Tensor x_t = three_points(1);
  EXPECT_TRUE(torch::equal(teacher_step(Solver::heun, teacher)(x_t, three_points(2), pair),
                           solver_step(Solver::heun, teacher, x_t, pair.t, pair.r)));
}

// f(x_t, t) = f(x_r, r) for two points of one trajectory: what a consistency function is.
TEST(Losses, TheExactFunctionHasNoLossOnExactTrajectories) {
  const test::Gaussian data{torch::tensor({0.3, -0.8}, torch::kFloat64), 0.5};
  const Denoiser f = test::consistency_of(data, 0.002);
  const PreviousPoint exact = [&](const Tensor& x_t, const Tensor&, const SigmaPair& pair) {
    return test::flow_of(data)(x_t, pair.t, pair.r);
  };
  const SigmaPair pair{three_levels(0.5, 3, 80), three_levels(0.1, 2, 0.002)};
  const Tensor loss = consistency_loss(f, f, exact, kL2, three_points(1), three_points(2), pair, ones());
  EXPECT_LT(test::largest(loss), 1e-24);
  const Tensor wrong =
      consistency_loss(f, f, data_step(), kL2, three_points(1), three_points(2), pair, ones());
  EXPECT_GT(wrong.min().item<double>(), 1e-6);
}

TEST(Losses, NoGradientReachesTargetOrTeacher) {
  const auto scale = [](double value) {
    return torch::full({}, value, torch::kFloat64).requires_grad_(true);
  };
  const Tensor a = scale(0.5);
  const Tensor b = scale(0.25);
  const Tensor c = scale(0.75);
  const auto scaled_by = [](const Tensor& factor) -> Denoiser {
    return [factor](const Tensor& x, const Tensor&) { return factor * x; };
  };
  const SigmaPair pair{three_levels(0.5, 3, 80), three_levels(0.1, 2, 40)};
  const Tensor weights = three_levels(1, 2, 3);
  const Tensor x0 = three_points(1);
  const Tensor z = three_points(2);
  const Tensor loss = consistency_loss(scaled_by(a), scaled_by(b), teacher_step(Solver::euler, scaled_by(c)),
                                       kL2, x0, z, pair, weights);
  loss.sum().backward();
  EXPECT_FALSE(b.grad().defined());
  EXPECT_FALSE(c.grad().defined());
  // By hand: x_r = x_t + (r − t)(1 − c) x_t/t and d/da Σ w mean (a x_t − b x_r)².
  const Tensor x_t = x0 + per_sample(pair.t, x0) * z;
  const Tensor x_r = x_t * (1 + per_sample((pair.r - pair.t) / pair.t, x_t) * 0.25);
  const Tensor gradient = (weights * (2 * (0.5 * x_t - 0.25 * x_r) * x_t).mean(1)).sum();
  EXPECT_LT(test::relative_difference(a.grad(), gradient), 1e-12);
}

HalvedStep halved_step() {
  return {three_levels(0.5, 3, 80), three_levels(0.3, 2, 60), three_levels(0.1, 1, 40)};
}

// PD Algorithm 2's own formula, by way of x_end.
Tensor target_by_steps(const Denoiser& teacher, const Tensor& x_t, const HalvedStep& step) {
  const Tensor x_mid = solver_step(Solver::euler, teacher, x_t, step.t, step.mid);
  const Tensor x_end = solver_step(Solver::euler, teacher, x_mid, step.mid, step.end);
  return x_t - per_sample(step.t / (step.end - step.t), x_t) * (x_end - x_t);
}

// Two Euler steps of a Gaussian's flow scale x − m by 1 + (σ' − σ) σ/(s² + σ²) each.
TEST(Losses, TheTwoStepTargetOfAGaussianIsAClosedForm) {
  const test::Gaussian data{torch::tensor({0.3, -0.8}, torch::kFloat64), 0.5};
  const auto [t, mid, end] = halved_step();
  const Tensor x_t = 5 * three_points(1);
  const auto scale = [](const Tensor& from, const Tensor& to) {
    return 1 + (to - from) * from / (0.25 + from.square());
  };
  const Tensor both = scale(t, mid) * scale(mid, end);
  const Tensor expected = x_t - per_sample(t * (both - 1) / (end - t), x_t) * (x_t - data.mean);
  const Tensor target = two_step_target(test::denoiser_of(data), x_t, halved_step());
  EXPECT_LT(test::relative_difference(target, expected), 1e-13);
}

// Where trajectories are straight lines to one image, two steps are one.
TEST(Losses, TheTwoStepTargetOfAStraightFlowIsTheTeachersAnswer) {
  const Tensor image = three_points(3);
  const Denoiser straight = [&](const Tensor&, const Tensor&) { return image; };
  EXPECT_LT(largest_difference(two_step_target(straight, three_points(1), halved_step()), image), 1e-14);
}

TEST(Losses, OneStepToTheTargetIsTwoStepsOfTheTeacher) {
  const Denoiser teacher =
      test::denoiser_of(test::Gaussian{torch::tensor({0.3, -0.8}, torch::kFloat64), 0.5});
  const HalvedStep step = halved_step();
  const Tensor x_t = 5 * three_points(1);
  const Tensor target = two_step_target(teacher, x_t, step);
  const Denoiser implied = [&](const Tensor&, const Tensor&) { return target; };
  const Tensor x_mid = solver_step(Solver::euler, teacher, x_t, step.t, step.mid);
  EXPECT_LT(largest_difference(solver_step(Solver::euler, implied, x_t, step.t, step.end),
                               solver_step(Solver::euler, teacher, x_mid, step.mid, step.end)),
            1e-13);
}

// Between the first levels of PD's first grid x_end is so near to x_t that their difference has few digits.
TEST(Losses, TheTwoStepTargetKeepsItsDigitsOnAFineGrid) {
  const Denoiser teacher =
      test::denoiser_of(test::Gaussian{torch::tensor({0.3, -0.8}, torch::kFloat64), 0.5});
  const auto level = [](double position) {
    return torch::full({3}, karras_sigma({}, 4097, position), torch::kFloat32);
  };
  const HalvedStep step{level(0), level(0.5), level(1)};
  const HalvedStep same{step.t.to(torch::kFloat64), step.mid.to(torch::kFloat64),
                        step.end.to(torch::kFloat64)};
  const Tensor x_t = (80 * three_points(1)).to(torch::kFloat32);
  const Tensor exact = target_by_steps(teacher, x_t.to(torch::kFloat64), same);
  EXPECT_LT(largest_difference(two_step_target(teacher, x_t, step), exact), 1e-6);
  EXPECT_GT(largest_difference(target_by_steps(teacher, x_t, step), exact), 1e-4);
}

TEST(Losses, AStudentThatIsTheImpliedDenoiserHasNoProgressiveLoss) {
  const Denoiser teacher =
      test::denoiser_of(test::Gaussian{torch::tensor({0.3, -0.8}, torch::kFloat64), 0.5});
  const HalvedStep step = halved_step();
  const Denoiser perfect = [&](const Tensor& x, const Tensor& sigma) {
    EXPECT_TRUE(torch::equal(sigma, step.t));
    return two_step_target(teacher, x, step);
  };
  EXPECT_EQ(
      test::largest(progressive_loss(perfect, teacher, kL2, three_points(1), three_points(2), step, ones())),
      0);
  EXPECT_GT(progressive_loss(teacher, teacher, kL2, three_points(1), three_points(2), step, ones())
                .min()
                .item<double>(),
            1e-8);
}

TEST(Losses, TheProgressiveLossIsWeightedAndTrainsTheStudentAlone) {
  const Tensor a = torch::full({}, 0.5, torch::kFloat64).requires_grad_(true);
  const Tensor c = torch::full({}, 0.75, torch::kFloat64).requires_grad_(true);
  const Denoiser student = [&](const Tensor& x, const Tensor&) { return a * x; };
  const Denoiser teacher = [&](const Tensor& x, const Tensor&) { return c * x; };
  const HalvedStep step = halved_step();
  const Tensor weights = three_levels(1, 2, 3);
  const Tensor x0 = three_points(1);
  const Tensor z = three_points(2);
  const Tensor loss = progressive_loss(student, teacher, kL2, x0, z, step, weights);
  const Tensor x_t = x0 + per_sample(step.t, x0) * z;
  const Tensor off = 0.5 * x_t - target_by_steps(teacher, x_t, step).detach();
  EXPECT_LT(test::relative_difference(loss, weights * off.square().mean(1)), 1e-12);
  loss.sum().backward();
  EXPECT_FALSE(c.grad().defined());
  EXPECT_LT(test::relative_difference(a.grad(), (weights * (2 * off * x_t).mean(1)).sum()), 1e-12);
}

}  // namespace
}  // namespace cm
