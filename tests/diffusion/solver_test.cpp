#include "cm/diffusion/solver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "cm/diffusion/gaussian_mixture.h"
#include "cm/diffusion/sampler.h"
#include "support/closeness.h"

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

double known_order(Solver solver) {
  switch (solver) {
    case Solver::euler:
      return 1;
    case Solver::heun:
    case Solver::midpoint:
    case Solver::dpm:
    case Solver::dpm_solver_2:
      return 2;
    case Solver::rk4:
      return 4;
  }
  throw std::logic_error("not a solver");
}

TEST(Solver, OrdersOfConvergenceOnAMixture) {
  for (const auto& [solver, name] : EnumNames<Solver>::names) {
    const double order = known_order(solver);
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

TEST(Solver, EvaluationsAreCountedRight) {
  const Tensor x = torch::ones({1, 2}, torch::kFloat64);
  for (const auto& [solver, name] : EnumNames<Solver>::names) {
    int64_t calls = 0;
    const Denoiser counting = [&](const Tensor& at, const Tensor&) {
      ++calls;
      return 0.5 * at;
    };
    solver_step(solver, counting, x, levels({2}), levels({1}));
    EXPECT_EQ(calls, evaluations(solver)) << name;
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
