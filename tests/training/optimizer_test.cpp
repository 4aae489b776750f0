#include "cm/training/optimizer.h"

#include <gmock/gmock.h>

#include <cmath>
#include <stdexcept>

#include "support/closeness.h"
#include "support/mistakes_of.h"

namespace cm {
namespace {

using test::largest_difference;

Tensor parameter(std::initializer_list<float> values) {
  return torch::tensor(std::vector<float>(values)).requires_grad_(true);
}

OptimizerOptions with_decay(LearningRateDecay decay) {
  OptimizerOptions options;
  options.lr = 0.5;
  options.warmup_steps = 10;
  options.decay = decay;
  if (decay == LearningRateDecay::inverse_sqrt) options.decay_start = 40;
  return options;
}

// Of a rate of 0.5: after a quarter of the decay, after half of it and at its end.
struct LaterRates {
  double quarter;
  double half_way;
  double last;
};

LaterRates rates_by_hand(LearningRateDecay decay) {
  switch (decay) {
    case LearningRateDecay::constant:
      return {0.5, 0.5, 0.5};
    case LearningRateDecay::linear:
      return {0.375, 0.25, 0};
    case LearningRateDecay::cosine:
      return {0.25 + std::sqrt(2) / 8, 0.25, 0};
    case LearningRateDecay::inverse_sqrt:
      break;  // has no end
  }
  throw std::logic_error("not a decay");
}

TEST(Optimizer, TheLearningRateWarmsUpAndDecays) {
  constexpr int64_t kSteps = 110;
  for (const auto& [decay, name] : EnumNames<LearningRateDecay>::names) {
    if (decay == LearningRateDecay::inverse_sqrt) continue;
    SCOPED_TRACE(name);
    const OptimizerOptions options = with_decay(decay);
    const LaterRates later = rates_by_hand(decay);
    EXPECT_NEAR(learning_rate(options, 0, kSteps), 0.05, 1e-15);
    EXPECT_NEAR(learning_rate(options, 4, kSteps), 0.25, 1e-15);
    EXPECT_NEAR(learning_rate(options, 9, kSteps), 0.5, 1e-15);
    EXPECT_NEAR(learning_rate(options, 10, kSteps), 0.5, 1e-15);
    EXPECT_NEAR(learning_rate(options, 35, kSteps), later.quarter, 1e-15);
    EXPECT_NEAR(learning_rate(options, 60, kSteps), later.half_way, 1e-15);
    EXPECT_NEAR(learning_rate(options, kSteps, kSteps), later.last, 1e-15);
    EXPECT_NEAR(learning_rate(options, 2 * kSteps, kSteps), later.last, 1e-15);
  }
}

// α min((k + 1)/warmup, 1)/√max(k/start, 1), also where both are at work.
TEST(Optimizer, TheInverseRootFallsFromItsStartOn) {
  OptimizerOptions options = with_decay(LearningRateDecay::inverse_sqrt);
  const auto rate = [&](int64_t step) { return learning_rate(options, step, /*total_steps=*/50); };
  EXPECT_NEAR(rate(4), 0.25, 1e-15);
  EXPECT_NEAR(rate(40), 0.5, 1e-15);
  EXPECT_NEAR(rate(160), 0.25, 1e-15);
  EXPECT_NEAR(rate(4'000), 0.05, 1e-15);
  options.warmup_steps = 320;
  EXPECT_NEAR(rate(160), 0.5 * 161 / 320 / 2, 1e-15);
}

std::vector<std::string> mistakes_in(const OptimizerOptions& options) {
  return mistakes_of(
      [&] { refuse_mistakes("", [&](const Complain& complain) { validate(options, complain); }); });
}

TEST(Optimizer, TheStartOfADecayBelongsToTheInverseRoot) {
  OptimizerOptions without = with_decay(LearningRateDecay::inverse_sqrt);
  without.decay_start.reset();
  EXPECT_THAT(
      mistakes_in(without),
      testing::ElementsAre("decay_start must be the step that decay inverse_sqrt begins at, got null"));
  OptimizerOptions besides = with_decay(LearningRateDecay::cosine);
  besides.decay_start = 40;
  EXPECT_THAT(mistakes_in(besides),
              testing::ElementsAre("decay_start belongs to decay inverse_sqrt, but decay is cosine"));
}

TEST(Optimizer, AWarmUpAsLongAsTheRunEndsAtTheFullRate) {
  for (const auto& [decay, name] : EnumNames<LearningRateDecay>::names) {
    EXPECT_EQ(learning_rate(with_decay(decay), 10, 10), 0.5) << name;
  }
}

TEST(Optimizer, WithoutWarmUpTheFirstStepHasTheFullRate) {
  OptimizerOptions options;
  options.lr = 0.5;
  EXPECT_EQ(learning_rate(options, 0, 100), 0.5);
}

// Adam's first step has the length of the learning rate in every coordinate, whatever the gradient's scale.
TEST(Optimizer, AdamsFirstStepIsTheSign) {
  Tensor theta = parameter({1, 1, 1});
  OptimizerOptions options;
  options.rule = OptimizerRule::adam;
  Optimizer optimizer(options, {theta});
  theta.mutable_grad() = torch::tensor({1e-3F, -20.0F, 4.0F});
  optimizer.step(0.1);
  EXPECT_LT(largest_difference(theta, torch::tensor({0.9, 1.1, 0.9})), 1e-4);
}

// RAdam's first steps are momentum with bias correction: the first one is gradient descent.
TEST(Optimizer, RadamsFirstStepIsGradientDescent) {
  Tensor theta = parameter({1, 1});
  Optimizer optimizer({}, {theta});
  theta.mutable_grad() = torch::tensor({0.5F, -2.0F});
  optimizer.step(0.1);
  EXPECT_LT(largest_difference(theta, torch::tensor({0.95, 1.2})), 1e-6);
}

TEST(Optimizer, EveryRuleFindsAMinimum) {
  for (const auto& [rule, name] : EnumNames<OptimizerRule>::names) {
    const Tensor theta = parameter({3, -2});
    OptimizerOptions options;
    options.rule = rule;
    Optimizer optimizer(options, {theta});
    for (int step = 0; step < 400; ++step) {
      optimizer.zero_grad();
      (theta - 1).square().sum().backward();
      optimizer.step(0.05);
    }
    EXPECT_LT(largest_difference(theta, torch::ones({2})), 0.01) << name;
  }
}

TEST(Optimizer, AParameterWithoutGradientIsLeftAlone) {
  Tensor used = parameter({1});
  const Tensor unused = parameter({1});
  OptimizerOptions options;
  options.weight_decay = 0.1;
  Optimizer optimizer(options, {used, unused});
  used.mutable_grad() = torch::ones({1});
  optimizer.step(0.1);
  EXPECT_EQ(unused.item<double>(), 1);
  EXPECT_EQ(optimizer.first_moments()[1].item<double>(), 0);
  EXPECT_EQ(optimizer.updates(), 1);
}

TEST(Optimizer, WithoutAnyGradientNothingIsCounted) {
  Optimizer optimizer({}, {parameter({1})});
  optimizer.step(0.1);
  EXPECT_EQ(optimizer.updates(), 0);
}

TEST(Optimizer, ZeroGradDropsTheGradients) {
  Tensor theta = parameter({1});
  theta.mutable_grad() = torch::ones({1});
  Optimizer({}, {theta}).zero_grad();
  EXPECT_FALSE(theta.grad().defined());
}

// RAdam's first step is gradient descent, whose length clipping bounds.
TEST(Optimizer, ClippingScalesTheWholeGradient) {
  const auto stepped = [](double clip) {
    Tensor a = parameter({0, 0});
    Tensor b = parameter({0});
    Optimizer optimizer({}, {a, b});
    a.mutable_grad() = torch::tensor({3.0F, 0.0F});
    b.mutable_grad() = torch::tensor({4.0F});
    const Tensor norm = gradient_norm({a, b});
    EXPECT_NEAR(norm.item<double>(), 5, 1e-6);
    optimizer.step(torch::tensor(1.0, torch::kFloat64), clip_factor(norm, clip), torch::tensor(true));
    return torch::cat({a, b}).detach();
  };
  EXPECT_LT(largest_difference(stepped(1), torch::tensor({-0.6, 0.0, -0.8})), 1e-6);
  EXPECT_TRUE(torch::equal(stepped(10), torch::tensor({-3.0F, 0.0F, -4.0F})));
}

// clip/(norm + 1e−6), as LibTorch's clip_grad_norm_.
TEST(Optimizer, TheFactorOfClippingIsLibTorchs) {
  const auto factor = [](float norm, double clip) {
    return clip_factor(torch::tensor(norm), clip).item<double>();
  };
  EXPECT_NEAR(factor(1e-6F, 1e-6), 0.5, 1e-6);
  EXPECT_EQ(factor(0, 1e-3), 1);
}

TEST(Optimizer, AStepThatIsNotUsableChangesAndCountsNothing) {
  Tensor theta = parameter({1});
  Optimizer optimizer({}, {theta});
  const auto step = [&](float gradient, bool usable) {
    theta.mutable_grad() = torch::tensor({gradient});
    optimizer.step(torch::tensor(0.1, torch::kFloat64), torch::tensor(1.0, torch::kFloat64),
                   torch::tensor(usable));
  };
  step(std::nanf(""), false);
  EXPECT_EQ(theta.item<double>(), 1);
  EXPECT_EQ(optimizer.updates(), 0);
  EXPECT_EQ(optimizer.first_moments()[0].item<double>(), 0);
  step(0.5, true);
  EXPECT_NEAR(theta.item<double>(), 0.95, 1e-7);
  EXPECT_EQ(optimizer.updates(), 1);
}

TEST(Optimizer, BetasAreTwo) {
  OptimizerOptions options;
  options.betas = {0.9};
  EXPECT_THAT(mistakes_in(options), testing::ElementsAre("betas must be two numbers, got 1"));
}

}  // namespace
}  // namespace cm
