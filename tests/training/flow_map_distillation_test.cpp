#include "cm/training/flow_map_distillation.h"

#include <gtest/gtest.h>

#include "cm/training/formula_model.h"
#include "src/training/flow_map_draws.h"
#include "support/closeness.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

// Data that is 0.3 everywhere: its flow is a straight line, with the velocity e − 0.3 from end to end, which
// the data's own velocity is too.
struct PointFlow {
  Model student = test::tiny_model(test::tiny_options(Parameterization::linear_map), 1);
  Model teacher = [] {
    ModelOptions options = test::tiny_options(Parameterization::edm);
    options.image.classes = 0;
    return formula_model([](const Tensor& x, const Tensor&) { return torch::full_like(x, 0.3); }, options,
                         torch::kCPU);
  }();
  TrainingBatch batch = [] {
    TrainingBatch points = test::training_batch(test::tiny_batch(2), 2);
    points.x.fill_(0.3);
    return points;
  }();

  template <class Options>
  Tensor losses(const Options& options) {
    return objective_of(options, {.student = student, .teacher = &teacher, .seed = 7}).losses(batch);
  }
};

TEST(FlowMapDistillation, WhereTheTeachersVelocityIsTheDatasItIsMeanFlow) {
  PointFlow flow;
  const Tensor mean_flow =
      objective_of(MeanFlowOptions{}, {.student = flow.student, .seed = 7}).losses(flow.batch);
  EXPECT_LT(test::relative_difference(flow.losses(EulerianOptions{}), mean_flow), 1e-3);
}

// The network that says nothing moves nothing: its maps end where they start, and the teacher says where to
// go.
TEST(FlowMapDistillation, TheEndOfAMapIsMovedByTheTeacher) {
  PointFlow flow;
  no_grad([&] {
    for (auto& parameter : flow.student.parameters()) parameter.zero_();
  });
  LagrangianOptions options;
  options.norm.power = 0;
  const Objective objective =
      objective_of(options, {.student = flow.student, .teacher = &flow.teacher, .seed = 7});
  const Draws draws = objective.draw(flow.batch);
  const Tensor z = flow.student.path().between(flow.batch.x, draws.noise, draws.levels[0]).z;
  const Tensor s = per_sample(draws.levels[1].clamp_min(0.002 / 1.002), z);
  const Tensor expected = ((z - 0.3) / s).square().flatten(1).sum(1);
  EXPECT_LT(test::relative_difference(objective.losses(flow.batch), expected), 1e-3);
}

}  // namespace
}  // namespace cm
