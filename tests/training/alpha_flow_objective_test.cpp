#include "cm/training/alpha_flow_objective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/closeness.h"
#include "support/mistakes_of.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

// By hand: sigmoid(25 · (0.5 − 0.4)/0.4) = sigmoid(6.25), of a fall from 0.2 to 0.6 of the run.
TEST(AlphaFlowObjective, AlphaFallsFromOneToZero) {
  const AlphaSchedule schedule{.start = 0.2, .end = 0.6};
  EXPECT_EQ(alpha_at(schedule, 0, 1000), 1);
  EXPECT_NEAR(alpha_at(schedule, 400, 1000), 0.5, 1e-12);
  EXPECT_NEAR(alpha_at(schedule, 450, 1000), 1 / (1 + std::exp(3.125)), 1e-12);
  EXPECT_EQ(alpha_at(schedule, 500, 1000), 0);  // 0.0019 is below the clamp
  EXPECT_EQ(alpha_at(schedule, 999, 1000), 0);
  EXPECT_NEAR(alpha_at({.start = 0.2, .end = 0.6, .clamp = 0}, 500, 1000), 1 / (1 + std::exp(6.25)), 1e-12);
}

TEST(AlphaFlowObjective, AFallThatEndsBeforeItBeginsIsAMistake) {
  const auto mistakes = mistakes_of([] {
    refuse_mistakes(
        "", [](const Complain& complain) { validate(AlphaSchedule{.start = 0.5, .end = 0.5}, complain); });
  });
  EXPECT_THAT(mistakes, testing::ElementsAre("end must be above start, 0.5, got 0.5"));
}

// At its end the loss is MeanFlow's, number by number, and takes another form.
TEST(AlphaFlowObjective, EndsAsMeanFlow) {
  const Model student = test::tiny_model(test::tiny_options(Parameterization::linear_map), 1);
  const Binding binding{.student = student, .total_steps = 10, .seed = 7};
  const Objective alpha_flow = objective_of(AlphaFlowOptions{}, binding);
  const Objective mean_flow = objective_of(MeanFlowOptions{{.norm = {.power = 1}}}, binding);
  const TrainingBatch first = test::training_batch(test::tiny_batch(0), 0);
  const TrainingBatch last = test::training_batch(test::tiny_batch(9), 9);
  EXPECT_TRUE(torch::equal(alpha_flow.losses(last), mean_flow.losses(last)));
  EXPECT_FALSE(torch::equal(alpha_flow.losses(first), mean_flow.losses(first)));
  EXPECT_NE(alpha_flow.form(0), alpha_flow.form(9));
  EXPECT_EQ(mean_flow.form(0), mean_flow.form(9));
}

}  // namespace
}  // namespace cm
