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
  EmaSet set({.rates = {0.9, 0.5}, .warmup = EmaWarmup::none}, {parameter});
  parameter.fill_(2);
  for (int step = 0; step < 7; ++step) {
    set.begin_update(step);
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

TEST(Ema, WithoutWarmupEveryUpdateHasTheRate) {
  for (const int64_t k : {0, 1, 1000}) EXPECT_EQ(warmed_rate(0.999, EmaWarmup::none, k), 0.999);
}

TEST(Ema, TensorflowsWarmupReachesTheRateWhereTheFractionDoes) {
  EXPECT_EQ(warmed_rate(0.999, EmaWarmup::tensorflow, 0), 0.1);
  EXPECT_EQ(warmed_rate(0.999, EmaWarmup::tensorflow, 8), 0.5);
  EXPECT_EQ(warmed_rate(0.999, EmaWarmup::tensorflow, 2490), 2491. / 2500);
  EXPECT_LT(warmed_rate(0.999, EmaWarmup::tensorflow, 8989), 0.999);  // (1 + k)/(10 + k) = 0.999 at k = 8990
  EXPECT_EQ(warmed_rate(0.999, EmaWarmup::tensorflow, 8991), 0.999);
}

// In EDM's own numbers: a batch of 512, half-lives in images, 5 % of the images seen before the update.
TEST(Ema, EdmsWarmupHasAHalfLifeOfAShareOfTheImagesSeen) {
  const double batch = 512;
  const double half_life = 500'000;
  const double rate = std::pow(0.5, batch / half_life);
  for (const int64_t k : {0, 1, 7, 500, 19'530, 19'532, 100'000}) {
    const double seen = static_cast<double>(k) * batch;
    const double expected = std::pow(0.5, batch / std::max(std::min(half_life, seen * 0.05), 1e-8));
    EXPECT_NEAR(warmed_rate(rate, EmaWarmup::edm, k), expected, 1e-15) << k;
  }
  EXPECT_EQ(warmed_rate(rate, EmaWarmup::edm, 0), 0);
}

// An average of a constant after a start apart from it shows the start's share by its distance.
TEST(Ema, TheStartsShareIsWhatTheStartWeighsInTheAverage) {
  for (const auto& [warmup, name] : EnumNames<EmaWarmup>::names) {
    const Tensor parameter = torch::tensor({1.0}, torch::kFloat64);
    EmaSet set({.rates = {0.9, 0.8}, .warmup = warmup}, {parameter});
    parameter.fill_(0);
    for (int64_t k = 0; k < 12; ++k) {
      set.begin_update(k);
      set.update({}, torch::tensor(true));
      for (size_t i = 0; i < 2; ++i) {
        EXPECT_NEAR(set.states()[i].start_share, set.average(i)[0].item<double>(), 1e-15) << name << ' ' << k;
      }
    }
  }
}

TEST(Ema, TheSettledAverageIsTheSlowestWhoseStartWeighsAtMostOnePercent) {
  const auto none = std::optional<size_t>();
  EXPECT_EQ(settled_average({}), none);
  EXPECT_EQ(settled_average({{.rate = 0.9, .start_share = 0.0101}}), none);
  EXPECT_EQ(settled_average({{.rate = 0.99, .start_share = 0.01}, {.rate = 0.9, .start_share = 0}}), 0U);
  EXPECT_EQ(settled_average({{.rate = 0.9, .start_share = 0}, {.rate = 0.99, .start_share = 0.02}}), 0U);
}

TEST(Ema, APowerFunctionStandsInForRatesThatHaveNotSettled) {
  const AverageState narrow{.start_share = 0, .power_std = 0.05};
  const AverageState wide{.start_share = 0, .power_std = 0.1};
  EXPECT_EQ(settled_average({{.rate = 0.9, .start_share = 0.5}, wide, narrow}), 1U);
  EXPECT_EQ(settled_average({wide, narrow, {.rate = 0.01, .start_share = 0}}), 2U);
  EXPECT_EQ(settled_average({{.start_share = 1, .power_std = 0.1}}),
            std::optional<size_t>());  // before updates
}

// Of updates 1 … n to weights θ_k the k-th weighs (k^(γ+1) − (k−1)^(γ+1))/n^(γ+1): the start nothing.
TEST(Ema, APowerFunctionWeighsUpdatesByTheirPlace) {
  const Tensor parameter = torch::tensor({1000.0}, torch::kFloat64);
  EmaSet set({.rates = {0.9}, .power_stds = {0.2}}, {parameter});
  constexpr double kExponent = 1.8262137798958404;
  double expected = 0;
  for (int64_t k = 1; k <= 50; ++k) {
    const auto n = static_cast<double>(k);
    parameter.fill_(std::sin(n));
    set.begin_update(k - 1);
    set.update({}, torch::tensor(true));
    const double before = std::pow((n - 1) / n, kExponent + 1);
    expected = before * expected + (1 - before) * std::sin(n);
    EXPECT_NEAR(set.average(1)[0].item<double>(), expected, 1e-13) << k;
    EXPECT_EQ(set.states()[1].start_share, 0);
    EXPECT_EQ(set.states()[1].updates, k);
  }
}

TEST(Ema, AWidthTwiceIsAMistake) {
  std::string complaint;
  validate(EmaOptions{.power_stds = {0.1, 0.1}},
           [&](const std::string& key, const std::string& text) { complaint += key + " " + text; });
  EXPECT_EQ(complaint, "power_stds must not name a σ_rel twice");
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
