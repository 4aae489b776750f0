#include "cm/diffusion/flow_map.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cm/diffusion/gaussian_mixture.h"
#include "support/closeness.h"
#include "support/gaussian.h"

namespace cm {
namespace {

using test::largest_difference;

GaussianMixture three_clusters() {
  return {torch::tensor({{-1.0, 0.4}, {0.8, -0.5}, {0.3, 1.0}}, torch::kFloat64),
          torch::tensor({0.3, 0.5, 0.2}, torch::kFloat64), torch::full({3}, 0.4, torch::kFloat64)};
}

test::Gaussian one_cluster() {
  return {torch::tensor({{0.3, -0.2}}, torch::kFloat64), 0.5};
}

Tensor of_each(double level) {
  return torch::full({8}, level, torch::kFloat64);
}

Tensor points_at(double level) {
  return draw(three_clusters(), level, 3, 0, sample_range(0, 8));
}

TEST(FlowMap, EndingAtALevelIsTheConsistencyFunctionThere) {
  const FlowMap flow = test::flow_of(one_cluster());
  const Tensor x = points_at(2);
  for (const double end : {0.0, 0.1}) {
    EXPECT_TRUE(torch::equal(ending_at(flow, end)(x, of_each(2)), flow(x, of_each(2), of_each(end)))) << end;
  }
  EXPECT_TRUE(torch::equal(ending_at(flow)(x, of_each(2)), flow(x, of_each(2), of_each(0))));
}

TEST(FlowMap, TwoPartsOfAWayAreTheWay) {
  const FlowMap exact = flow_of(three_clusters());
  const FlowMap solved = solved_flow(Solver::rk4, denoiser_of(three_clusters()), 64);
  const Tensor x = points_at(5);
  for (const auto& levels : {std::pair(2.0, 0.1), {0.1, 2.0}, {8.0, 0.5}}) {
    const double r = levels.first;
    const double s = levels.second;
    const auto parts = [&](const FlowMap& flow) {
      return flow(flow(x, of_each(5), of_each(r)), of_each(r), of_each(s));
    };
    EXPECT_LT(largest_difference(parts(exact), exact(x, of_each(5), of_each(s))), 1e-8) << r;
    EXPECT_LT(largest_difference(parts(solved), solved(x, of_each(5), of_each(s))), 1e-5) << r;
  }
  EXPECT_TRUE(torch::equal(solved(x, of_each(5), of_each(5)), x));
}

// Down and up, samples each with levels of their own.
TEST(FlowMap, OfASolverIsTheDataFlowToItsOrder) {
  const FlowMap exact = flow_of(three_clusters());
  const Tensor t = torch::linspace(0.5, 5, 8, torch::kFloat64);
  const Tensor s = t.flip(0);
  const Tensor x = points_at(1);
  const auto error = [&](Solver solver, int64_t steps) {
    return largest_difference(solved_flow(solver, denoiser_of(three_clusters()), steps)(x, t, s),
                              exact(x, t, s));
  };
  for (const auto& [solver, order] :
       {std::pair(Solver::euler, 1.0), {Solver::heun, 2.0}, {Solver::rk4, 4.0}}) {
    EXPECT_NEAR(std::log2(error(solver, 32) / error(solver, 64)), order, 0.15 * order) << to_string(solver);
  }
}

// The last step is Euler's or dpm's, but the levels close up towards 0.
TEST(FlowMap, OfASolverReachesLevelZero) {
  const Tensor x = points_at(2);
  const Tensor exact = ending_at(test::flow_of(one_cluster()))(x, of_each(2));
  for (const auto& [solver, name] : EnumNames<Solver>::names) {
    const Denoiser end = ending_at(solved_flow(solver, test::denoiser_of(one_cluster()), 64));
    EXPECT_LT(largest_difference(end(x, of_each(2)), exact), solver == Solver::euler ? 0.05 : 5e-3) << name;
  }
}

TEST(FlowMap, LevelsThatItCannotReachAreRefused) {
  const Denoiser denoiser = test::denoiser_of(one_cluster());
  EXPECT_THROW(solved_flow(Solver::heun, denoiser, 0), c10::Error);
  const FlowMap flow = solved_flow(Solver::heun, denoiser, 2);
  const Tensor x = points_at(1);
  EXPECT_THROW(flow(x, of_each(0), of_each(1)), c10::Error);
  EXPECT_THROW(flow(x, of_each(1), of_each(-1)), c10::Error);
  EXPECT_THROW(flow(x, of_each(1), torch::linspace(0, 1, 8, torch::kFloat64)), c10::Error);
}

}  // namespace
}  // namespace cm
