#include "cm/training/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "support/closeness.h"
#include "support/loopback.h"
#include "support/message_of.h"
#include "support/one_at_a_time.h"
#include "support/scaled_objective.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

using test::broken_in;
using test::flat;
using test::largest_difference;
using test::message_of;
using test::plain_descent;
using test::TinyRun;
using testing::AllOf;
using testing::HasSubstr;

TEST(Trainer, MicroBatchesAddUpToTheBatch) {
  for (const auto method : test::kMethods) {
    const auto trained = [&](std::optional<int64_t> micro_batch_size) {
      TrainOptions options = test::tiny_train_options();
      options.micro_batch_size = micro_batch_size;
      TinyRun run(method, options);
      const Tensor before = flat(run.student.parameters());
      Trainer trainer(options, plain_descent(), {.rates = {}}, run.objective, run.student, nullptr);
      const StepResult result = trainer.step(test::tiny_batch(0));
      return std::tuple(flat(run.student.parameters()) - before, result.loss, result.gradient_norm);
    };
    const auto [step, loss, norm] = trained(std::nullopt);
    const auto [micro_step, micro_loss, micro_norm] = trained(2);
    EXPECT_LT(test::relative_difference(micro_step, step), 1e-5) << to_string(method);
    EXPECT_LT(test::relative_difference(micro_loss, loss), 3e-6);
    EXPECT_LT(test::relative_difference(micro_norm, norm), 1e-5);
    EXPECT_GT(test::largest(step), 0);
  }
}

TEST(Trainer, RanksAddUpToTheBatch) {
  for (const auto method : test::kMethods) {
    const auto trained = [&](const World& world) {
      TrainOptions options = test::tiny_train_options();
      options.label_dropout = 0.5;
      if (world.size() == 2) options.micro_batch_size = 1;
      TinyRun run(method, options);
      const Tensor before = flat(run.student.parameters());
      Trainer trainer(options, plain_descent(), {.rates = {}}, test::one_at_a_time(run.objective),
                      run.student, nullptr, world);
      const Batch whole = test::tiny_batch(0);
      const int64_t size = rank_batch_size(options, world);
      const StepResult result = trainer.step(test::part_of(whole, world.rank() * size, size));
      return std::tuple(flat(run.student.parameters()) - before, result.loss, result.gradient_norm);
    };
    const auto [step, loss, norm] = trained(World());
    for (const int64_t ranks : {2, 3}) {
      if (ranks == 2 && method == kObjective<ImmOptions>) continue;  // 3 samples are no whole pairs
      test::on_ranks(ranks, [&, step = step, loss = loss, norm = norm](const World& world) {
        const auto [rank_step, rank_loss, rank_norm] = trained(world);
        EXPECT_LT(test::relative_difference(rank_step, step), 1e-5) << to_string(method);
        EXPECT_LT(test::relative_difference(rank_loss, loss), 1e-5);
        EXPECT_LT(test::relative_difference(rank_norm, norm), 1e-5);
      });
    }
  }
}

TEST(Trainer, ANonFiniteLossOfOneRankIsSkippedByAll) {
  TrainOptions options = test::tiny_train_options();
  options.on_non_finite = OnNonFinite::skip;
  test::on_ranks(2, [&](const World& world) {
    TinyRun run(kObjective<EdmOptions>, options);
    const Objective objective = world.is_first() ? run.objective : broken_in({0}, run.student);
    Trainer trainer(options, {}, {.rates = {}}, objective, run.student, nullptr, world);
    const Tensor before = flat(run.student.parameters());
    trainer.step(test::tiny_batch(0, 3));
    EXPECT_EQ(trainer.skipped(), 1);
    EXPECT_TRUE(torch::equal(flat(run.student.parameters()), before));
    trainer.step(test::tiny_batch(1, 3));
    EXPECT_EQ(trainer.skipped(), 1);
    EXPECT_FALSE(torch::equal(flat(run.student.parameters()), before));
  });
}

TEST(Trainer, RanksTakeTheStateOfRankZero) {
  for (const auto method : {kObjective<CdOptions>, kObjective<SctOptions>, kObjective<PdOptions>}) {
    test::on_ranks(2, [&](const World& world) {
      TinyRun run(method);
      if (!world.is_first()) run.train_to(3);
      Trainer trainer(test::tiny_train_options(), {}, {.rates = {0.5}}, run.objective, run.student,
                      run.method.has_target ? &run.target : nullptr, world);
      if (!world.is_first()) {
        for (const auto& moment : trainer.optimizer().first_moments()) moment.fill_(1);
        for (const auto& moment : trainer.optimizer().second_moments()) moment.fill_(1);
      }
      trainer.share_state();
      const TinyRun fresh(method);
      EXPECT_TRUE(torch::equal(flat(run.student.parameters()), flat(fresh.student.parameters())));
      EXPECT_TRUE(torch::equal(flat(run.target.parameters()), flat(fresh.target.parameters())));
      EXPECT_TRUE(torch::equal(flat(run.teacher.parameters()), flat(fresh.teacher.parameters())));
      EXPECT_TRUE(torch::equal(flat(trainer.averages().average(0)), flat(fresh.student.parameters())));
      EXPECT_EQ(test::largest(flat(trainer.optimizer().first_moments())), 0);
      EXPECT_EQ(test::largest(flat(trainer.optimizer().second_moments())), 0);
      if (trainer.learned() != nullptr) {
        EXPECT_TRUE(
            torch::equal(flat(trainer.learned()->parameters()), flat(fresh.objective.learned->parameters())));
      }
    });
  }
}

TEST(Trainer, RefusesPartsOfABatchThatDivideAGroup) {
  TrainOptions options = test::tiny_train_options();
  options.batch_size = 12;
  check_groups(options, World(), 4);
  EXPECT_THAT(
      message_of<InputError>([&] { check_groups(options, World(), 5); }),
      HasSubstr("train.batch_size: the objective compares groups of 5 samples, and 12 at a time are no whole "
                "groups; use a multiple of 5"));
  test::on_ranks(2, [&](const World& world) {
    EXPECT_THAT(message_of<InputError>([&] { check_groups(options, world, 4); }),
                HasSubstr("use a multiple of 8"));
  });
  options.micro_batch_size = 6;
  EXPECT_THAT(
      message_of<InputError>([&] { check_groups(options, World(), 4); }),
      HasSubstr("train.micro_batch_size: the objective compares groups of 4 samples, and 6 at a time"));
}

TEST(Trainer, RefusesABatchThatRanksCannotShare) {
  test::on_ranks(2, [](const World& world) {
    TrainOptions options = test::tiny_train_options();
    options.batch_size = 10;
    options.micro_batch_size = 2;
    EXPECT_THAT(message_of<InputError>([&] { rank_batch_size(options, world); }),
                HasSubstr("must divide what each of 2 processes has of the batch (5), got 2"));
    options.micro_batch_size = 10;  // all that a rank has
    EXPECT_EQ(rank_batch_size(options, world), 5);
    options.batch_size = 9;
    EXPECT_THAT(message_of<InputError>([&] { rank_batch_size(options, world); }),
                HasSubstr("train.batch_size is 9, which 2 processes can't share; use a multiple of 2"));
  });
}

// The labels that an objective gets to see in a step.
Tensor seen_labels(const TrainOptions& options, int64_t step, int64_t size) {
  Model student = test::tiny_model(test::tiny_options(Parameterization::edm), 1);
  std::vector<Tensor> seen;
  Objective objective = objective_of(EdmOptions{}, {.student = student, .seed = 7});
  objective.losses = [&](const TrainingBatch& batch) {
    seen.push_back(batch.labels.clone());
    return student.parameters().front().sum() * torch::zeros({batch.labels.size(0)});
  };
  Trainer trainer(options, {}, {.rates = {}}, objective, student, nullptr);
  trainer.set_steps_done(step);
  trainer.step(test::tiny_batch(step, size));
  return torch::cat(seen);
}

TEST(Trainer, LabelDropoutHidesTheAskedShareOfTheClasses) {
  constexpr int64_t kSize = 6'000;
  TrainOptions options = test::tiny_train_options();
  options.batch_size = kSize;
  const Tensor labels = test::tiny_batch(0, kSize).labels;
  EXPECT_TRUE(torch::equal(seen_labels(options, 0, kSize), labels));
  for (const double p : {0.1, 0.6}) {
    options.label_dropout = p;
    const Tensor seen = seen_labels(options, 0, kSize);
    const Tensor hidden = seen == kNullClass;
    EXPECT_NEAR(hidden.to(torch::kFloat64).mean().item<double>(), p, 5 * std::sqrt(p * (1 - p) / kSize));
    EXPECT_TRUE(torch::equal(torch::where(hidden, labels, seen), labels));
  }
}

TEST(Trainer, WhichClassesAreHiddenDependsOnSeedStepAndSampleAlone) {
  TrainOptions options = test::tiny_train_options();
  options.label_dropout = 0.5;
  const auto hidden = [&](int64_t step, int64_t size) {
    return seen_labels(options, step, size) == kNullClass;
  };
  const Tensor all = hidden(1, 60);
  options.micro_batch_size = 10;
  EXPECT_TRUE(torch::equal(hidden(1, 60), all));
  EXPECT_TRUE(torch::equal(hidden(1, 30), all.narrow(0, 0, 30)));
  EXPECT_FALSE(torch::equal(hidden(2, 60), all));
  options.seed = 5;
  EXPECT_FALSE(torch::equal(hidden(1, 60), all));
}

TEST(Trainer, TheTargetFollowsByItsDecayAndTheTeacherStays) {
  TinyRun run(kObjective<CdOptions>);
  const Tensor teacher = flat(run.teacher.parameters());
  const Tensor target = flat(run.target.parameters());
  run.train_to(1);
  const Tensor expected = 0.95 * target + 0.05 * flat(run.student.parameters());
  EXPECT_LT(largest_difference(flat(run.target.parameters()), expected), 1e-6);
  EXPECT_GT(largest_difference(flat(run.target.parameters()), target), 0);
  run.train_to(3);
  EXPECT_TRUE(torch::equal(flat(run.teacher.parameters()), teacher));
}

TEST(Trainer, TheEvaluationAveragesFollowTheStudent) {
  TinyRun run(kObjective<EdmOptions>);
  const Tensor before = flat(run.student.parameters());
  run.train_to(1);
  const Tensor after = flat(run.student.parameters());
  EXPECT_LT(largest_difference(flat(run.trainer.averages().average(0)), (before + after) / 2), 1e-6);
  EXPECT_LT(largest_difference(flat(run.trainer.averages().average(1)), 0.9 * before + 0.1 * after), 1e-6);
}

TEST(Trainer, AStepCountsAndDropsItsGradients) {
  TinyRun run(kObjective<IctOptions>);
  EXPECT_EQ(run.trainer.steps_done(), 0);
  run.train_to(2);
  EXPECT_EQ(run.trainer.steps_done(), 2);
  for (const auto& parameter : run.student.parameters()) EXPECT_FALSE(parameter.grad().defined());
}

TEST(Trainer, ClippingBoundsTheStep) {
  TinyRun run(kObjective<EdmOptions>);
  OptimizerOptions options = plain_descent();
  options.clip_norm = 1e-3;
  Trainer trainer(test::tiny_train_options(), options, {.rates = {}}, run.objective, run.student, nullptr);
  const Tensor before = flat(run.student.parameters());
  const StepResult result = trainer.step(test::tiny_batch(0));
  EXPECT_GT(result.gradient_norm.item<double>(), 1e-3);
  EXPECT_NEAR((flat(run.student.parameters()) - before).norm().item<double>(), 1e-3, 1e-5);
}

TEST(Trainer, ANonFiniteStepStopsAndLeavesTheWeights) {
  Model student = test::tiny_model(test::tiny_options(Parameterization::edm), 1);
  Trainer trainer(test::tiny_train_options(), {}, {.rates = {0.5}}, broken_in({1}, student), student,
                  nullptr);
  trainer.step(test::tiny_batch(0));
  const Tensor weights = flat(student.parameters());
  const Tensor average = flat(trainer.averages().average(0)).clone();
  EXPECT_THAT(message_of<Error>([&] { trainer.step(test::tiny_batch(1)); }),
              AllOf(HasSubstr("not finite in step 2 (σ between 0."), HasSubstr("lower optimizer.lr")));
  EXPECT_TRUE(torch::equal(flat(student.parameters()), weights));
  EXPECT_TRUE(torch::equal(flat(trainer.averages().average(0)), average));
  EXPECT_EQ(trainer.steps_done(), 1);
}

TEST(Trainer, ANonFiniteStepCanBeSkippedAndIsCounted) {
  Model student = test::tiny_model(test::tiny_options(Parameterization::edm), 1);
  TrainOptions options = test::tiny_train_options();
  options.on_non_finite = OnNonFinite::skip;
  Trainer trainer(options, {}, {.rates = {0.5}}, broken_in({1, 2}, student), student, nullptr);
  trainer.step(test::tiny_batch(0));
  const Tensor weights = flat(student.parameters());
  trainer.step(test::tiny_batch(1));
  trainer.step(test::tiny_batch(2));
  EXPECT_TRUE(torch::equal(flat(student.parameters()), weights));
  EXPECT_EQ(trainer.skipped(), 2);
  EXPECT_EQ(trainer.steps_done(), 3);
  EXPECT_EQ(trainer.optimizer().updates(), 1);
  trainer.step(test::tiny_batch(3));
  EXPECT_GT(largest_difference(flat(student.parameters()), weights), 0);
  EXPECT_TRUE(torch::isfinite(flat(student.parameters())).all().item<bool>());
}

// Stages begin at training steps 0, 2 and 5.
TEST(Trainer, AStageMakesTheStudentTheTeacherAndStartsAnew) {
  TinyRun run(kObjective<PdOptions>);
  const Tensor teacher = flat(run.teacher.parameters());
  run.train_to(2);
  EXPECT_TRUE(torch::equal(flat(run.teacher.parameters()), teacher));
  EXPECT_EQ(run.trainer.optimizer().updates(), 2);
  EXPECT_EQ(run.trainer.steps_in_stage(), 2);
  EXPECT_EQ(run.trainer.weight_options().distilled_steps, 4);
  const Tensor before = flat(run.student.parameters());

  run.train_to(3);
  const Tensor after = flat(run.student.parameters());
  EXPECT_TRUE(torch::equal(flat(run.teacher.parameters()), before));
  EXPECT_GT(largest_difference(after, before), 0);
  EXPECT_EQ(run.trainer.optimizer().updates(), 1);
  EXPECT_LT(largest_difference(flat(run.trainer.averages().average(0)), (before + after) / 2), 1e-6);
  EXPECT_EQ(run.trainer.steps_in_stage(), 1);
  EXPECT_EQ(run.trainer.weight_options().distilled_steps, 2);
  for (const auto& parameter : run.teacher.parameters()) EXPECT_FALSE(parameter.requires_grad());

  run.train_to(6);
  EXPECT_EQ(run.trainer.weight_options().distilled_steps, 1);
}

TEST(Trainer, TheLearningRateTakesItsCourseInEveryStage) {
  TrainOptions options = test::tiny_train_options();
  options.steps = 9;
  TinyRun run(kObjective<PdOptions>, options);
  OptimizerOptions optimizer;
  optimizer.lr = 12;
  optimizer.decay = LearningRateDecay::linear;
  Trainer trainer(options, optimizer, {.rates = {}}, run.objective, run.student, nullptr);
  std::vector<double> rates;
  for (int64_t step = 0; step < 9; ++step) {
    trainer.set_steps_done(step);
    rates.push_back(trainer.lr());
  }
  EXPECT_THAT(rates, testing::ElementsAre(12, 6, 12, 8, testing::DoubleNear(4, 1e-12), 12, 9, 6, 3));
}

TEST(Trainer, WithoutStagesWeightsSayNothingOfSteps) {
  TinyRun run(kObjective<CdOptions>);
  run.train_to(2);
  EXPECT_EQ(run.trainer.stage_teacher(), nullptr);
  EXPECT_EQ(run.trainer.steps_in_stage(), 2);
  EXPECT_FALSE(run.trainer.weight_options().distilled_steps);
}

TEST(Trainer, MicroBatchesMustDivideTheBatch) {
  TrainOptions options;
  options.batch_size = 64;
  options.micro_batch_size = 24;
  std::string complaint;
  validate(options, [&](const std::string& key, const std::string& text) { complaint = key + " " + text; });
  EXPECT_EQ(complaint, "micro_batch_size must divide batch_size (64), got 24");
}

}  // namespace
}  // namespace cm
