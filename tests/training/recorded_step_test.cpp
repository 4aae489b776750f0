#include "cm/training/recorded_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/kernels/device_graph.h"
#include "cm/training/trainer.h"
#include "support/closeness.h"
#include "support/devices.h"
#include "support/scaled_objective.h"
#include "support/tiny_model.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

TrainingBatch some_batch(double level, const torch::Device& device) {
  const auto options = torch::TensorOptions(device);
  TrainingBatch batch{.x = torch::ones({2, 1, 4, 4}, options), .labels = {}, .samples = {0, 1}};
  batch.draws = Draws{torch::ones({2, 1, 4, 4}, options), {torch::full({2}, level, options)}};
  return batch;
}

TEST(RecordedStep, WhatCannotBeRecordedRunsAsItIs) {
  int64_t calls = 0;
  RecordedStep step(torch::kCPU, [&](const TrainingBatch& batch) {
    ++calls;
    return StepResult{.loss = batch.draws->levels[0].sum(), .gradient_norm = {}, .usable = {}, .bad = {}};
  });
  testing::internal::CaptureStderr();
  for (int k = 0; k < 6; ++k) {
    EXPECT_EQ(step.run(some_batch(k, torch::kCPU)).loss.item<double>(), 2 * k);
  }
  EXPECT_EQ(calls, 6);
  EXPECT_EQ(step.played(), 0);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("train.cuda_graph: the step cannot be recorded, and runs as it is"));
}

TEST(RecordedStep, OnTheCpuATrainerSaysWhyAndTrains) {
  const auto trained = [](bool graph) {
    TrainOptions options = test::tiny_train_options();
    options.cuda_graph = graph;
    test::TinyRun run(test::Method::cd, options);
    run.train_to(4);
    return run.student.parameters().front().detach().clone();
  };
  const Tensor as_they_are = trained(false);
  testing::internal::CaptureStderr();
  EXPECT_TRUE(torch::equal(trained(true), as_they_are));
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("train.cuda_graph: steps run as they are: device cpu"));
}

// Learning rates, levels and noise differ from step to step; a recording that kept one would differ at once.
TEST(RecordedStep, OnAGpuPlayedStepsAreThoseThatRunAsTheyAre) {
  if (const auto obstacle = DeviceGraph::obstacle(test::devices().back())) GTEST_SKIP() << *obstacle;
  const auto trained = [](bool graph) {
    TrainOptions options = test::tiny_train_options();
    options.steps = 12;
    options.micro_batch_size = 3;
    options.cuda_graph = graph;
    OptimizerOptions optimizer;
    optimizer.lr = 1e-2;
    optimizer.decay = LearningRateDecay::linear;
    Model student(test::tiny_options(Parameterization::edm), torch::kCUDA, 1);
    test::perturb(student, 1);
    Trainer trainer(options, optimizer, {.rates = {0.5}}, edm_objective({}, student, 7), student, nullptr);
    for (int64_t step = 0; step < 12; ++step) trainer.step(test::tiny_batch(step));
    return test::flat(student.parameters()).cpu();
  };
  EXPECT_LT(test::relative_difference(trained(true), trained(false)), 1e-4);
}

}  // namespace
}  // namespace cm
