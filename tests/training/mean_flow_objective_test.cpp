#include "cm/training/mean_flow_objective.h"

#include <gtest/gtest.h>

#include "src/training/draws.h"
#include "src/training/flow_map_draws.h"
#include "src/training/target_guidance.h"
#include "support/closeness.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

using test::largest_difference;

struct GuidedFlow {
  Model student = test::tiny_model(test::tiny_options(Parameterization::linear_map), 1);
  TrainingBatch batch = test::training_batch(test::tiny_batch(2), 2);
  Tensor t = torch::linspace(0.1, 0.9, 6);
  PathPoint at = student.path().between(batch.x, draw_noise(7, batch), t);
  Tensor labels = torch::tensor({0, 1, -1, 2, 0, 1}, torch::kInt64);

  Tensor velocity(const Tensor& of) const {
    return no_grad([&] { return student.mean_velocity(of)(at.z, t, t); });
  }
  Tensor guided(const TargetGuidance& by) const { return guided_point(by, student, at, labels).velocity; }
};

TEST(MeanFlowObjective, WithoutGuidanceTheDatasVelocityIsFollowed) {
  const GuidedFlow flow;
  EXPECT_TRUE(flow.guided({}).is_same(flow.at.velocity));
}

// Eq. 19 and 21, of each sample by itself: those whose class is hidden (−1) and those outside of the interval
// keep v.
TEST(MeanFlowObjective, TheTargetIsGuidedWhereAClassIsTold) {
  const GuidedFlow flow;
  const Tensor v = flow.at.velocity;
  const Tensor with_class = flow.velocity(flow.labels);
  const Tensor without = flow.velocity(torch::full_like(flow.labels, kNullClass));
  const auto expect = [&](const TargetGuidance& by, const Tensor& expected,
                          const std::vector<int64_t>& guided) {
    const Tensor found = flow.guided(by);
    for (int64_t i = 0; i < 6; ++i) {
      const bool is_guided = std::ranges::find(guided, i) != guided.end();
      EXPECT_LT(largest_difference(found[i], is_guided ? expected[i] : v[i]), 1e-5) << i;
      EXPECT_GT(largest_difference(expected[i], v[i]), 1e-3) << i;
    }
  };
  expect({.omega = 2}, without + 2 * (v - without), {0, 1, 3, 4, 5});
  expect({.omega = 0.2, .kappa = 0.92}, 0.2 * v + 0.92 * with_class - 0.12 * without, {0, 1, 3, 4, 5});
  expect({.omega = 2, .t_min = 0.2, .t_max = 0.75}, 2 * v - without, {1, 3, 4});
}

TEST(MeanFlowObjective, GuidanceIsToldByItsWeight) {
  EXPECT_FALSE(method_of(MeanFlowOptions{}, 1).target_guidance);
  const TargetGuidance published{.omega = 0.2, .kappa = 0.92};
  EXPECT_NEAR(*method_of(MeanFlowOptions{{}, published}, 1).target_guidance, 2.5, 1e-12);
}

// On samples with s = t the loss is flow matching's.
TEST(MeanFlowObjective, WithoutAWayToGoItIsFlowMatching) {
  for (const auto kind : {Parameterization::linear_map, Parameterization::trig_map}) {
    const Model student = test::tiny_model(test::tiny_options(kind), 1);
    const MeanFlowOptions options{{.interval = {.equal_share = 1}, .norm = {.power = 0}}};
    const Objective objective = objective_of(options, {.student = student, .seed = 7});
    const TrainingBatch batch = test::training_batch(test::tiny_batch(2), 2);
    const Path path = student.path();
    const Tensor t = draw_interval(options.interval, path, 7, 2, batch.samples).t.to(torch::kFloat32);
    const PathPoint at = path.between(batch.x, draw_noise(7, batch), t);
    const Tensor u = student.mean_velocity(batch.labels)(at.z, t, t);
    const Tensor expected = (u - at.velocity).square().flatten(1).sum(1);
    EXPECT_LT(test::relative_difference(objective.losses(batch), expected), 1e-5) << to_string(kind);
    EXPECT_LT(largest_difference(path.time(objective.sigmas(2, batch.samples)), t), 1e-6);
  }
}

}  // namespace
}  // namespace cm
