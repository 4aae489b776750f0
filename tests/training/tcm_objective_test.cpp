#include "cm/training/tcm_objective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cm/training/formula_model.h"
#include "src/training/draws.h"
#include "src/training/ect_pairs.h"
#include "support/closeness.h"
#include "support/dropout_keys.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

using test::largest_difference;

constexpr int64_t kTcmBatch = 16;

TrainingBatch tcm_batch(int64_t step = 3) {
  return test::training_batch(test::tiny_batch(step, kTcmBatch), step);
}

Objective tcm_of(const TcmOptions& options, const Model& student, const Model& start) {
  return objective_of(options, {.student = student, .start = &start, .seed = 7});
}

// Data that is one image everywhere: its consistency function gives that image for every x and σ, but where a
// network's answer may be no number.
Model point_model(double value) {
  ModelOptions options = test::tiny_options(Parameterization::edm);
  options.image.classes = 0;
  const Denoiser point = [value](const Tensor& x, const Tensor& sigma) {
    return torch::full_like(x, value).masked_fill(per_sample(sigma < 1e-9, x), std::nan(""));
  };
  return formula_model(point, options, torch::kCPU);
}

TrainingBatch batch_of_points(double value) {
  TrainingBatch batch = tcm_batch();
  return {torch::full_like(batch.x, value), {}, batch.step, batch.samples};
}

// In the first stage also from pairs whose r is 0, where the image itself is the target.
TEST(TcmObjective, TheExactMapHasNoLoss) {
  const Model exact = point_model(0.3);
  for (const int64_t stage : {0, 9}) {
    const Objective objective = tcm_of({.pairs = {.first_stage = stage, .ratio_limit = 0.999}}, exact, exact);
    const TrainingBatch batch = batch_of_points(0.3);
    const auto levels = objective.draw(batch).levels;
    EXPECT_EQ((levels[1] == 0).any().item<bool>(), stage == 0);
    EXPECT_LT(test::largest(objective.losses(batch) / levels[2]), 1e-4);  // before it is weighed
  }
}

// The student is right, what is frozen is off by 1 in each of the 16 pixels: the pairs across t′ show it.
TEST(TcmObjective, TheTargetIsTheFrozenModelBelowTheTransitionAlone) {
  const TcmOptions options{.pairs = {.first_stage = 3}};
  const Model student = point_model(0.3);
  const Model start = point_model(1.3);
  const Objective objective = tcm_of(options, student, start);
  const Tensor losses = objective.losses(batch_of_points(0.3)).to(torch::kFloat64);
  const Tensor t = objective.sigmas(3, sample_range(0, kTcmBatch));
  const Tensor r = ect_previous_level(options.pairs, t, 3);
  const Tensor at_boundary = t == 1 + 1e-8;
  const Tensor below = r < 1;
  EXPECT_EQ(at_boundary.sum().item<int64_t>(), kTcmBatch / 4);
  EXPECT_GT(below.sum().item<int64_t>(), kTcmBatch / 4);  // besides the boundary's also some from above it
  EXPECT_LT(below.sum().item<int64_t>(), kTcmBatch);
  const Tensor share = torch::where(at_boundary, 0.1 / 0.25, torch::full_like(t, 1 / 0.75));
  EXPECT_LT(largest_difference(losses, torch::where(below, 4 * share / (t - r), torch::zeros_like(t))), 1e-2);
  EXPECT_GT(losses.masked_select(below).min().item<double>(), 1);
}

// At t = t′ the student is drawn to the frozen model, at other pairs above t′ to itself.
TEST(TcmObjective, TheStudentIsDrawnToTheFrozenModelAtTheTransition) {
  const Model student = test::tiny_model(test::tiny_options(), 1);
  const Model start = test::tiny_model(test::tiny_options(), 2);
  const Objective objective = tcm_of({.boundary_share = 0.99}, student, start);
  const TrainingBatch batch = tcm_batch();
  const Tensor sigma = torch::ones({kTcmBatch});
  const Tensor x = batch.x + draw_noise(7, batch);
  const auto f = [&](const Model& model) {
    return model.denoiser_as(Parameterization::edm, batch.labels)(x, sigma);
  };
  const Tensor direction = [&] {
    const Tensor distance = (f(student) - f(start).detach()).square().sum();
    distance.backward();
    return student.parameters().front().grad().clone();
  }();
  student.network().zero_grad();
  objective.losses(batch).mean().backward();
  const Tensor gradient = student.parameters().front().grad();
  EXPECT_GT(torch::cosine_similarity(gradient.flatten(), direction.flatten(), 0).item<double>(), 0.7);
}

// What ECT's objective drew, in the place of TCM's draws: no level is below t′ but those that are 0.
TEST(TcmObjective, AsTheTransitionGoesToZeroItIsEct) {
  const Model student = test::tiny_model(test::tiny_options(), 1);
  const Model start = test::tiny_model(test::tiny_options(), 2);
  const EctPairOptions pairs{.first_stage = 1, .weighting = EctWeighting::karras, .huber_c = 0.06};
  const Objective ect = objective_of(EctOptions{.pairs = pairs}, {.student = student, .seed = 7});
  TrainingBatch batch = tcm_batch();
  Draws draws = ect.draw(batch);
  const Tensor& r = draws.levels[1];
  EXPECT_GT((r > 0).sum().item<int64_t>(), 0);
  EXPECT_GT((r == 0).sum().item<int64_t>(), 0);
  draws.levels.push_back((r < 1e-9).to(torch::kFloat32));
  batch.draws = draws;
  const Tensor expected = ect.losses(batch).detach();
  const TcmOptions options{.transition = 1e-9, .boundary_share = 0, .pairs = pairs};
  EXPECT_TRUE(torch::equal(tcm_of(options, student, start).losses(batch).detach(), expected));
  // The loss of its own draws has no other factor either.
  batch.draws = tcm_of(options, student, start).draw(tcm_batch());
  const auto& levels = batch.draws->levels;
  const Tensor weight = ect_weight(pairs, {levels[0], levels[1]}, 0.5);
  EXPECT_LT(test::elementwise_difference(levels[2], weight), 1e-5);
  EXPECT_TRUE(torch::equal(levels[3], (levels[1] < 1e-9).to(torch::kFloat32)));
}

// The mean over a whole batch, as its trainer takes it.
TEST(TcmObjective, TheLossIsTheMeanOfTheOthersAndAShareOfTheBoundarys) {
  const Model student = test::tiny_model(test::tiny_options(), 1);
  const Model start = test::tiny_model(test::tiny_options(), 2);
  const auto losses = [&](double weight) {
    return tcm_of({.boundary_weight = weight}, student, start).losses(tcm_batch()).detach();
  };
  const Tensor each = 0.75 * losses(1.0 / 3);  // with this weight all samples count alike
  const Tensor t = tcm_of({}, student, start).sigmas(3, sample_range(0, kTcmBatch));
  const Tensor at_boundary = t == 1 + 1e-8;
  const Tensor expected =
      each.masked_select(~at_boundary).mean() + 0.1 * each.masked_select(at_boundary).mean();
  EXPECT_LT(test::relative_difference(losses(0.1).mean(), expected), 1e-6);
}

// Of the levels that are not at the boundary: of one degree the distribution is Cauchy's, cut.
TEST(TcmObjective, DrawsLevelsByStudentsTFromTheTransitionOn) {
  const Model model = test::tiny_model(test::tiny_options(), 1);
  const TcmOptions options{.transition = 2, .degrees = 1, .p_mean = 0.4, .p_std = 0.3};
  const Tensor all = tcm_of(options, model, model).sigmas(5, sample_range(0, 40'000));
  const Tensor t = std::get<0>(all.masked_select(all != 2 + 1e-8).sort());
  const auto n = static_cast<double>(t.numel());
  EXPECT_EQ(t.numel(), 30'000);
  EXPECT_GE(t.min().item<double>(), 2);
  EXPECT_LE(t.max().item<double>(), 80);
  const auto atan_at = [&](double log_t) { return std::atan((log_t - 0.4) / 0.3); };
  const double first = atan_at(std::log(2));
  const Tensor cdf = (((t.log() - 0.4) / 0.3).atan() - first) / (atan_at(std::log(80)) - first);
  const Tensor observed = (torch::arange(t.numel(), torch::kFloat64) + 0.5) / n;
  EXPECT_LT(largest_difference(cdf, observed), 1.95 / std::sqrt(n));  // Kolmogorov–Smirnov, 1 ‰
}

TEST(TcmObjective, APartOfTheBatchHasItsShare) {
  for (const double share : {0.25, 0.1, 0.7}) {
    double members = 0;
    int64_t first_is_one = 0;
    for (int64_t step = 0; step < 400; ++step) {
      const auto count = draw_part(share, 7, step, sample_range(0, 10)).sum().item<int64_t>();
      EXPECT_GE(count, static_cast<int64_t>(std::floor(10 * share)));
      EXPECT_LE(count, static_cast<int64_t>(std::ceil(10 * share)));
      EXPECT_EQ(draw_part(share, 7, step, sample_range(0, 1000)).sum().item<int64_t>(),
                std::llround(1000 * share));
      members += static_cast<double>(count);
      first_is_one += draw_part(share, 7, step, {0}).item<bool>() ? 1 : 0;
    }
    EXPECT_NEAR(members / 4000, share, 0.01);
    EXPECT_NEAR(static_cast<double>(first_is_one) / 400, share, 5 * std::sqrt(0.25 / 400));
  }
  EXPECT_FALSE(draw_part(0, 7, 0, sample_range(0, 100)).any().item<bool>());
}

// Student and start have the same weights, and t and r hardly differ: only different masks could.
TEST(TcmObjective, StudentAndFrozenModelShareADropoutMask) {
  ModelOptions options = test::tiny_options();
  common_options(options.network).dropout = 0.5;
  const Model student = test::tiny_model(options, 1);
  const Model start = test::tiny_model(options, 1);
  const TcmOptions near{.boundary_share = 0.99, .pairs = {.first_stage = 40, .ratio_limit = 0.999999}};
  const TrainingBatch batch = tcm_batch();
  const Objective objective = tcm_of(near, student, start);
  const Tensor weight = objective.draw(batch).levels[2];
  EXPECT_LT(test::largest(objective.losses(batch).detach() / weight), 0.01);
  const Tensor sigma = torch::ones({kTcmBatch});
  const auto with_mask = [&](int64_t seed) {
    return student.denoiser_as(Parameterization::edm, batch.labels, test::dropout_keys(seed, kTcmBatch))(
        batch.x, sigma);
  };
  EXPECT_GT(largest_difference(with_mask(1), with_mask(2)), 0.1);
}

TEST(TcmObjective, TheFrozenModelStaysAsItIs) {
  test::TinyRun run(kObjective<TcmOptions>);
  EXPECT_TRUE(torch::equal(run.start.parameters().front(), run.student.parameters().front()));
  const Tensor start = run.start.parameters().front().clone();
  run.train_to(4);
  EXPECT_TRUE(torch::equal(run.start.parameters().front(), start));
  EXPECT_FALSE(torch::equal(run.start.parameters().front(), run.student.parameters().front()));
}

}  // namespace
}  // namespace cm
