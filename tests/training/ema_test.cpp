#include "cm/training/ema.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/closeness.h"

namespace cm {
namespace {

TEST(Ema, MovesTowardsTheParameters) {
  const std::vector<Tensor> average = {torch::tensor({1.0, 2.0}), torch::tensor({4.0})};
  const std::vector<Tensor> parameters = {torch::tensor({2.0, 0.0}), torch::tensor({8.0})};
  update_ema(average, parameters, 0.75);
  EXPECT_TRUE(torch::equal(average[0], torch::tensor({1.25, 1.5})));
  EXPECT_TRUE(torch::equal(average[1], torch::tensor({5.0})));
  update_ema(average, parameters, 0);
  EXPECT_TRUE(torch::equal(average[0], parameters[0]));
}

// Towards a constant the distance shrinks by the rate in every step.
TEST(Ema, EachRateHasItsOwnMemory) {
  const Tensor parameter = torch::tensor({1.0}, torch::kFloat64);
  EmaSet set({.rates = {0.9, 0.5}}, {parameter});
  parameter.fill_(2);
  for (int step = 0; step < 7; ++step) {
    set.update({}, torch::tensor(true));
    set.update({}, torch::tensor(false));  // nothing happens
  }
  EXPECT_NEAR(set.average(0)[0].item<double>(), 2 - std::pow(0.9, 7), 1e-12);
  EXPECT_NEAR(set.average(1)[0].item<double>(), 2 - std::pow(0.5, 7), 1e-12);
}

TEST(Ema, AnAverageIsACopyThatNeedsNoGradient) {
  const Tensor parameter = torch::ones({2}).requires_grad_(true);
  const EmaSet set({.rates = {0.9}}, {parameter});
  EXPECT_FALSE(set.average(0)[0].requires_grad());
  EXPECT_FALSE(set.average(0)[0].is_alias_of(parameter));
}

// rate^steps ≤ 1/4: 0.999 forgets its start in 1386 steps, 0.9999 in 13,863.
TEST(Ema, TheSettledRateIsTheLargestThatForgotItsStart) {
  const std::vector<double> rates = {0.9999, 0.999, 0.99};
  EXPECT_EQ(settled_rate(rates, 100), std::nullopt);
  EXPECT_EQ(settled_rate(rates, 1385), 0.99);
  EXPECT_EQ(settled_rate(rates, 1386), 0.999);
  EXPECT_EQ(settled_rate(rates, 13'862), 0.999);
  EXPECT_EQ(settled_rate(rates, 13'863), 0.9999);
  EXPECT_EQ(settled_rate({}, 13'863), std::nullopt);
}

TEST(Ema, ARateTwiceIsAMistake) {
  std::string complaint;
  const auto note = [&](const std::string& key, const std::string& text) { complaint += key + " " + text; };
  validate(EmaOptions{}, note);
  EXPECT_EQ(complaint, "");
  validate(EmaOptions{.rates = {0.9, 0.9}}, note);
  EXPECT_EQ(complaint, "rates must not name a rate twice");
}

}  // namespace
}  // namespace cm
