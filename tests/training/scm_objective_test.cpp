#include "cm/training/scm_objective.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cm/diffusion/jvp.h"
#include "cm/kernels/normal.h"
#include "cm/training/sampling.h"
#include "src/training/adaptive_weighting.h"
#include "src/training/scm_loss.h"
#include "support/closeness.h"
#include "support/dropout_keys.h"
#include "support/each_near.h"
#include "support/tiny_run.h"
#include "training/level_draws.h"

namespace cm {
namespace {

using test::TinyRun;

TrainingBatch trig_batch_at(int64_t step) {
  return test::training_batch(test::tiny_batch(3), step);
}

Model trig_model(uint64_t seed, Parameterization parameterization = Parameterization::trig) {
  return test::tiny_model(test::tiny_options(parameterization), seed);
}

TEST(ScmObjective, DrawsLogNormalLevels) {
  const Model student = trig_model(1);
  test::expect_log_normal_levels(objective_of(SctOptions{}, {.student = student, .seed = 7}), -1.0, 1.4);
}

// r = k/H is 0 in step 0 and 1 from step H on.
TEST(ScmObjective, TheTangentWarmsUp) {
  const Model student = trig_model(1);
  const torch::NoGradGuard guard;
  const auto losses = [&](int64_t step, int64_t warmup) {
    // The draws depend on the step; the same step under another H must differ by r alone.
    return objective_of(SctOptions{{.tangent_warmup_steps = warmup}}, {.student = student, .seed = 7})
        .losses(trig_batch_at(step));
  };
  EXPECT_TRUE(torch::equal(losses(8, 8), losses(8, 0)));
  EXPECT_TRUE(torch::equal(losses(9, 8), losses(9, 0)));
  EXPECT_FALSE(torch::equal(losses(8, 16), losses(8, 0)));
  EXPECT_TRUE(torch::equal(losses(0, 8), losses(0, 1'000'000)));
  EXPECT_FALSE(torch::equal(losses(0, 8), losses(0, 0)));
}

// In TrigFlow's terms, of the noisy images x + σ z: x_t = cos(t) (x + σ z), dx_t/dt = cos(t) σ_d z − sin(t)
// x.
TEST(ScmObjective, TheLossIsItsFormula) {
  const Model student = trig_model(1);
  const double sigma_data = student.options().sigma.data;
  const TrainingBatch batch = trig_batch_at(2);
  const Objective objective =
      objective_of(SctOptions{{.tangent_warmup_steps = 0}}, {.student = student, .seed = 7});
  const torch::NoGradGuard guard;
  const Tensor z = objective.draw(batch).noise;
  const Tensor sigma = objective.sigmas(batch.step, batch.samples).to(torch::kFloat32);
  const Tensor t = (sigma / sigma_data).atan();
  const Tensor x_t = per_sample(t.cos(), z) * (batch.x + per_sample(sigma, z) * z);
  const Tensor velocity = per_sample(t.cos(), z) * sigma_data * z - per_sample(t.sin(), z) * batch.x;
  const RawNetwork network = student.raw_network(batch.labels, {});
  const Tensor tangent = scm_tangent(network, {x_t, t, velocity}, torch::ones_like(t), sigma_data).g;
  const Tensor expected =
      scm_loss(network(x_t / sigma_data, t), normalized_tangent(tangent, 0.1), torch::zeros_like(t));
  EXPECT_LT(test::relative_difference(objective.losses(batch), expected), 1e-3);
}

// At r = 0 the gradient is that of TrigFlow's diffusion loss, whose minimum is the teacher: a student with
// the teacher's weights has none.
TEST(ScmObjective, AStudentThatIsItsTeacherStaysThereAtFirst) {
  Model teacher = trig_model(1, Parameterization::trig_diffusion);
  const Model same = trig_model(1);
  const Model other = trig_model(2);
  const auto gradient = [&](const Model& student) {
    objective_of(ScdOptions{}, {.student = student, .teacher = &teacher, .seed = 7})
        .losses(trig_batch_at(0))
        .mean()
        .backward();
    return test::largest(student.parameters().front().grad());
  };
  EXPECT_LT(gradient(same), 1e-4 * gradient(other));
}

TEST(ScmObjective, TheTeacherGetsNoGradientAndTheStudentAndTheWeightingDo) {
  const TinyRun run(kObjective<ScdOptions>);
  run.objective.losses(trig_batch_at(2)).mean().backward();
  for (const auto& parameter : run.student.parameters()) EXPECT_TRUE(parameter.grad().defined());
  for (const auto& parameter : run.objective.learned->parameters()) EXPECT_TRUE(parameter.grad().defined());
  for (const auto& parameter : run.teacher.parameters()) EXPECT_FALSE(parameter.grad().defined());
}

// The weight of a level goes to the inverse of its loss, e^w L = 1.
TEST(ScmObjective, TheWeightingLearnsTheLossOfEachLevel) {
  const AdaptiveWeighting weighting(3);
  const Tensor sigma = torch::tensor({0.01, 0.3, 20.0});
  EXPECT_EQ(test::largest(weighting->forward(sigma)), 0);
  const Tensor losses = torch::tensor({0.1, 1.0, 5.0});
  OptimizerOptions options;
  options.rule = OptimizerRule::adam;
  Optimizer optimizer(options, weighting->parameters());
  for (int i = 0; i < 1000; ++i) {
    const Tensor w = weighting->forward(sigma);
    optimizer.zero_grad();
    (w.exp() * losses - w).sum().backward();
    optimizer.step(3e-3);
  }
  EXPECT_LT(test::largest_difference(weighting->forward(sigma).exp() * losses, torch::ones(3)), 0.02);
  // Of levels that lie close together nearly the same was learned.
  EXPECT_LT(test::largest_difference(weighting->forward(1.01 * sigma), weighting->forward(sigma)), 0.05);
}

TEST(ScmObjective, TheTrainerTrainsTheWeightingToo) {
  TinyRun run(kObjective<SctOptions>);
  const auto weight = [&] {
    return run.objective.learned->named_parameters()["linear.weight"].detach().clone();
  };
  EXPECT_EQ(test::largest(weight()), 0);
  run.train_to(2);
  EXPECT_GT(test::largest(weight()), 0);
  EXPECT_EQ(run.trainer.averages().average(0).size(), run.student.parameters().size());
}

// Networks with double_norm under dropout: the derivative along a direction, against central differences.
TEST(ScmObjective, TheNetworksDerivativeIsThatOfDifferences) {
  for (const auto* architecture : {"adm", "ddpmpp"}) {
    ModelOptions options = test::tiny_options(Parameterization::trig);
    UNetOptions network = test::tiny_network(/*dropout=*/0.2);
    network.scale_shift_norm = network.double_norm = true;
    options.network = test::of_architecture(architecture, network);
    const Model model = test::tiny_model(options, 3);
    const RawNetwork raw = model.raw_network(torch::tensor({0, 1}), test::dropout_keys(5, 2));
    const auto image = [](uint64_t seed) { return normal({.seed = seed}, sample_range(0, 2), {1, 4, 4}); };
    const Tensor x = image(1);
    const Tensor t = torch::tensor({0.3, 1.2});
    const Direction along{image(2), torch::tensor({1.0, -0.5})};
    const torch::NoGradGuard guard;
    const double h = 5e-3;
    const Tensor difference = (raw(x + h * along.x_dot, t + h * along.sigma_dot) -
                               raw(x - h * along.x_dot, t - h * along.sigma_dot)) /
                              (2 * h);
    EXPECT_LT(test::relative_difference(jvp(raw, x, t, along).tangent, difference), 3e-3) << architecture;
  }
}

// Two steps at t = 1.1 by the boundary at 0.
TEST(ScmObjective, SamplingHasItsBoundaryAtZero) {
  ModelOptions options = test::tiny_options(Parameterization::trig);
  options.sampling.sigmas = {80, 0.982};
  EXPECT_EQ(choose_sampler({}, options).kind, SamplerKind::onestep);
  EXPECT_THAT(choose_sampler({.steps = 2}, options).sigmas, test::each_near({80, 0.982, 0}, 0));
  options.parameterization = Parameterization::trig_diffusion;
  EXPECT_EQ(choose_sampler({}, options).kind, Solver::heun);
}

}  // namespace
}  // namespace cm
