// Training in half precision: a step's closeness to fp32, and what loss scaling does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/training/trainer.h"
#include "support/message_of.h"
#include "support/scaled_objective.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

using test::broken_in;
using test::flat;
using test::message_of;
using test::plain_descent;
using test::scaled_in;
using test::TinyRun;
using testing::HasSubstr;

TrainOptions options_in(ComputeType type) {
  TrainOptions options = test::tiny_train_options();
  options.dtype = type;
  return options;
}

TEST(MixedPrecision, AStepInHalfPrecisionIsThatInFp32ToRounding) {
  for (const auto method : test::kMethods) {
    const auto trained = [&](ComputeType type) {
      const TrainOptions options = options_in(type);
      TinyRun run(method, options, test::tiny_network(/*dropout=*/0));
      run.compute_in(type);
      const Tensor before = flat(run.student.parameters());
      Trainer trainer(options, plain_descent(), {.rates = {}}, run.objective, run.student,
                      run.method.has_target ? &run.target : nullptr);
      if (trainer.loss_scale() != nullptr) trainer.loss_scale()->restore(16, 0);  // no overflow anywhere
      const StepResult result = trainer.step(test::tiny_batch(1));
      EXPECT_TRUE(result.usable.item<bool>());
      return std::tuple(flat(run.student.parameters()) - before, result.loss, result.gradient_norm);
    };
    const auto [step, loss, norm] = trained(ComputeType::fp32);
    const auto relative = [](const Tensor& a, const Tensor& b) {
      return ((a - b).norm() / b.norm()).item<double>();
    };
    for (const auto type : {ComputeType::bf16, ComputeType::fp16}) {
      SCOPED_TRACE(testing::Message() << to_string(method) << ' ' << to_string(type));
      const auto [half_step, half_loss, half_norm] = trained(type);
      const double tolerance = type == ComputeType::bf16 ? 0.1 : 0.02;
      EXPECT_LT(relative(half_step, step), tolerance);
      EXPECT_LT(relative(half_loss, loss), tolerance);
      EXPECT_LT(relative(half_norm, norm), tolerance);
      EXPECT_GT(relative(half_step, step), 0);
    }
  }
}

TEST(MixedPrecision, AnOverflowInFp16IsSkippedAndHalvesTheLossScale) {
  Model student = test::tiny_model(test::tiny_options(Parameterization::edm), 1);
  student.compute_in(ComputeType::fp16);
  Trainer trainer(options_in(ComputeType::fp16), {}, {.rates = {0.5}}, scaled_in({1}, 1e4, student), student,
                  nullptr);
  ASSERT_NE(trainer.loss_scale(), nullptr);
  trainer.step(test::tiny_batch(0));
  EXPECT_EQ(trainer.skipped(), 0);
  const Tensor weights = flat(student.parameters());
  trainer.step(test::tiny_batch(1));
  EXPECT_TRUE(torch::equal(flat(student.parameters()), weights));
  EXPECT_EQ(trainer.skipped(), 1);
  EXPECT_EQ(trainer.optimizer().updates(), 1);
  EXPECT_EQ(trainer.loss_scale()->value().item<double>(), 32768);
  trainer.step(test::tiny_batch(2));
  EXPECT_FALSE(torch::equal(flat(student.parameters()), weights));
}

// What the scale is for: a gradient that fp16 cannot hold by itself.
TEST(MixedPrecision, TheLossScaleSavesSmallGradientsInFp16) {
  const auto step_at = [](double factor, double scale) {
    Model student = test::tiny_model(test::tiny_options(Parameterization::edm), 1);
    student.compute_in(ComputeType::fp16);
    Trainer trainer(options_in(ComputeType::fp16), plain_descent(), {.rates = {}},
                    scaled_in({0}, factor, student), student, nullptr);
    trainer.loss_scale()->restore(scale, 0);
    const StepResult result = trainer.step(test::tiny_batch(0));
    EXPECT_TRUE(result.usable.item<bool>());
    return result.gradient_norm.item<double>() / factor;
  };
  const double norm = step_at(1, 1024);
  EXPECT_NEAR(step_at(1e-7, 1024 * 1e7) / norm, 1, 0.02);
  EXPECT_GT(std::abs(step_at(1e-7, 1) / norm - 1), 0.1);
}

TEST(MixedPrecision, WhatNoLossScaleCanMendStopsTheRun) {
  Model student = test::tiny_model(test::tiny_options(Parameterization::edm), 1);
  student.compute_in(ComputeType::fp16);
  Trainer trainer(options_in(ComputeType::fp16), {}, {.rates = {}}, broken_in({0, 1}, student), student,
                  nullptr);
  trainer.loss_scale()->restore(2, 0);
  trainer.step(test::tiny_batch(0));
  EXPECT_EQ(trainer.loss_scale()->value().item<double>(), 1);
  EXPECT_THAT(message_of<Error>([&] { trainer.step(test::tiny_batch(1)); }),
              HasSubstr("not finite in step 2"));
}

}  // namespace
}  // namespace cm
