#include "cm/training/recorded_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "cm/kernels/device_graph.h"
#include "cm/kernels/paths.h"
#include "cm/training/trainer.h"
#include "support/closeness.h"
#include "support/devices.h"
#include "support/operators.h"
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
    test::TinyRun run(kObjective<CdOptions>, options);
    run.train_to(4);
    return run.student.parameters().front().detach().clone();
  };
  const Tensor as_they_are = trained(false);
  testing::internal::CaptureStderr();
  EXPECT_TRUE(torch::equal(trained(true), as_they_are));
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("train.cuda_graph: steps run as they are: device cpu"));
}

bool waits(const std::string& path) {
  return std::ranges::any_of(
      std::array{"aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::masked_select"},
      [&](const char* name) { return path.ends_with(name); });
}

// The kernels of the CPU read a step's numbers where those of a GPU leave them to the device.
bool is_of_a_kernel(const std::string& path) {
  return path.find("cm::adam_update/") != std::string::npos ||
         path.find("cm::update_averages/") != std::string::npos;
}

// What would wait for a GPU cannot be recorded on it. What copies from host memory can't be told here.
TEST(RecordedStep, WhatIsToBeRecordedReadsNothingBack) {
  for (const ObjectiveKind method : test::kMethods) {
    SCOPED_TRACE(to_string(method));
    test::TinyRun run(method, test::tiny_train_options());
    std::vector<std::string> waiting;
    int64_t recorded = 0;
    const KernelCalls calls = kernel_calls_during([&] {
      for (const std::string& path : test::operators_of([&] { run.train_to(3); })) {
        if (!path.starts_with("cm::training_step/")) continue;
        ++recorded;
        if (waits(path) && !is_of_a_kernel(path)) waiting.push_back(path);
      }
    });
    EXPECT_THAT(waiting, testing::ElementsAre());
    EXPECT_GT(recorded, 100);
    EXPECT_THAT(lines_of(calls), testing::IsSupersetOf({"adam_update: 3 by the kernel"}));
    EXPECT_EQ(calls.at(Kernel::update_averages).by_operators.size(), 0U);
  }
}

// Learning rates, levels and noise differ from step to step; a recording that kept one would differ at once.
TEST(RecordedStep, OnAGpuPlayedStepsAreThoseThatRunAsTheyAre) {
  if (const auto obstacle = DeviceGraph::obstacle(test::devices().back())) GTEST_SKIP() << *obstacle;
  constexpr int64_t kSteps = 12;
  const auto trained = [](bool graph) {
    TrainOptions options = test::tiny_train_options();
    options.steps = kSteps;
    options.micro_batch_size = 3;
    options.cuda_graph = graph;
    OptimizerOptions optimizer;
    optimizer.lr = 1e-2;
    optimizer.decay = LearningRateDecay::linear;
    Model student(test::tiny_options(Parameterization::edm), torch::kCUDA, 1);
    test::perturb(student, 1);
    Trainer trainer(options, optimizer, {.rates = {0.5}},
                    objective_of(EdmOptions{}, {.student = student, .seed = 7}), student, nullptr);
    for (int64_t step = 0; step < kSteps; ++step) trainer.step(test::tiny_batch(step));
    EXPECT_EQ(trainer.steps_played(), graph ? kSteps - 3 : 0);
    return test::flat(student.parameters()).cpu();
  };
  testing::internal::CaptureStderr();
  EXPECT_LT(test::relative_difference(trained(true), trained(false)), 1e-4);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace cm
