#include "cm/diffusion/solver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "cm/diffusion/gaussian_mixture.h"
#include "cm/diffusion/sampler.h"
#include "support/closeness.h"
#include "support/each_near.h"

namespace cm {
namespace {

using test::largest_difference;

GaussianMixture mixture() {
  return {torch::tensor({{-1.0, 0.4}, {0.8, -0.5}, {0.3, 1.0}}, torch::kFloat64),
          torch::tensor({0.3, 0.5, 0.2}, torch::kFloat64), torch::full({3}, 0.4, torch::kFloat64)};
}

Tensor levels(std::initializer_list<double> sigmas) {
  return torch::tensor(std::vector<double>(sigmas), torch::kFloat64);
}

// The largest error at σ = 0.1 of `steps` steps from σ = 5, over a few trajectories.
double error_of(Solver solver, int64_t steps) {
  const SigmaOptions range{.min = 0.1, .max = 5};
  static const Tensor x = draw(mixture(), range.max, 3, 0, sample_range(0, 16));
  static const Tensor exact =
      consistency_of(mixture(), range.min)(x, torch::full({16}, range.max, torch::kFloat64));
  auto sigmas = karras_sigmas(range, steps + 1);
  std::ranges::reverse(sigmas);
  return largest_difference(sample_ode(solver, denoiser_of(mixture()), x, sigmas), exact);
}

double observed_order(Solver solver) {
  return std::log2(error_of(solver, 64) / error_of(solver, 128));
}

TEST(Solver, OrdersOfConvergenceOnAMixture) {
  for (const auto& [solver, name] : EnumNames<Solver>::names) {
    const auto order = static_cast<double>(order_of_convergence(solver));
    EXPECT_NEAR(observed_order(solver), order, order < 4 ? 0.1 * order : 0.3) << name;
  }
}

TEST(Solver, HigherOrdersAreMoreExact) {
  EXPECT_LT(error_of(Solver::heun, 64), 0.1 * error_of(Solver::euler, 64));
  EXPECT_LT(error_of(Solver::rk4, 64), 0.1 * error_of(Solver::heun, 64));
}

// Data of one point: trajectories are straight lines, and one step of any rule is exact.
TEST(Solver, EveryRuleIsExactOnStraightTrajectories) {
  const Tensor x0 = torch::tensor({{0.5, -0.25}}, torch::kFloat64);
  const Tensor z = torch::tensor({{1.5, -2.0}}, torch::kFloat64);
  const Denoiser point = [&](const Tensor&, const Tensor&) { return x0; };
  for (const auto& [solver, name] : EnumNames<Solver>::names) {
    const Tensor x = solver_step(solver, point, x0 + 80 * z, levels({80}), levels({0.5}));
    EXPECT_LT(largest_difference(x, x0 + 0.5 * z), 1e-12) << name;
  }
}

TEST(Solver, EachSampleHasItsOwnLevels) {
  const Denoiser denoiser = denoiser_of(mixture());
  const Tensor x = draw(mixture(), 1, 5, 0, sample_range(0, 2));
  for (const auto& [solver, name] : EnumNames<Solver>::names) {
    const Tensor both = solver_step(solver, denoiser, x, levels({3, 0.5}), levels({1, 0.2}));
    const Tensor second = solver_step(solver, denoiser, x.narrow(0, 1, 1), levels({0.5}), levels({0.2}));
    EXPECT_LT(largest_difference(both.narrow(0, 1, 1), second), 1e-14) << name;
  }
}

TEST(Solver, AStepOfNoLengthStaysWhereItIs) {
  const Tensor x = draw(mixture(), 1, 5, 0, sample_range(0, 2));
  for (const auto& [solver, name] : EnumNames<Solver>::names) {
    const Tensor same = solver_step(solver, denoiser_of(mixture()), x, levels({1, 2}), levels({1, 2}));
    EXPECT_TRUE(torch::equal(same, x)) << name;
  }
}

// The levels at which the solver asks for the denoiser's answer on its way along `sigmas`.
std::vector<double> levels_called(Solver solver, const std::vector<double>& sigmas) {
  std::vector<double> called;
  const Denoiser noting = [&](const Tensor& x, const Tensor& sigma) {
    called.push_back(sigma[0].item<double>());
    return 0.5 * x;
  };
  sample_ode(solver, noting, torch::ones({2, 2}, torch::kFloat64), sigmas);
  return called;
}

TEST(Solver, EvaluationsLieInTheStep) {
  using testing::AllOf;
  for (const auto& [solver, name] : EnumNames<Solver>::names) {
    const auto called = levels_called(solver, {8, 1});
    EXPECT_EQ(called.front(), 8) << name;
    EXPECT_THAT(called, testing::Each(AllOf(testing::Ge(1), testing::Le(8)))) << name;
    const auto last = levels_called(solver, {8, 0});
    EXPECT_THAT(last, testing::Each(testing::Gt(0))) << name;
  }
}

// The release's dpm keeps its midpoint ((σ^⅓ + 0)/2)³ = σ/8 in the step to 0.
TEST(Solver, TheLevelsOfTheSolversByHand) {
  const std::map<Solver, std::vector<double>> of_a_walk_along_8_1_0 = {
      {Solver::euler, {8, 1}},
      {Solver::heun, {8, 1, 1}},
      {Solver::midpoint, {8, 4.5, 1}},
      {Solver::dpm, {8, 3.375, 1, 0.125}},
      {Solver::dpm_solver_2, {8, std::sqrt(8.0), 1}},
      {Solver::rk4, {8, 4.5, 4.5, 1, 1}}};
  for (const auto& [solver, known] : of_a_walk_along_8_1_0) {
    EXPECT_THAT(levels_called(solver, {8, 1, 0}), test::each_near(known, 1e-12)) << to_string(solver);
  }
}

TEST(Solver, AStepToZeroEndsNearTheDenoiser) {
  const Denoiser denoiser = denoiser_of(mixture());
  const Tensor x = draw(mixture(), 0.01, 5, 0, sample_range(0, 3));
  const Tensor sigma = levels({0.01, 0.01, 0.01});
  for (const auto& [solver, name] : EnumNames<Solver>::names) {
    const Tensor end =
        solver_step(rule_to_zero(solver), denoiser, x, sigma, torch::zeros({3}, torch::kFloat64));
    EXPECT_LT(largest_difference(end, denoiser(x, sigma)), 1e-3) << name;
  }
}

}  // namespace
}  // namespace cm
