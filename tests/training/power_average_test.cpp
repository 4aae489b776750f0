#include "src/training/power_average.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cm/base/error.h"
#include "cm/training/ema.h"

namespace cm {
namespace {

const std::vector<PowerProfile> kEightSnapshots = {{0.05, 100}, {0.1, 100}, {0.05, 200}, {0.1, 200},
                                                   {0.05, 300}, {0.1, 300}, {0.05, 400}, {0.1, 400}};

// training/phema.py of NVlabs/edm2: std_to_exp.
TEST(PowerAverage, ExponentsAreTheOfficialOnes) {
  const std::vector<std::pair<double, double>> official = {{0.01, 96.99489782370986},
                                                           {0.05, 16.972198602303447},
                                                           {0.1, 6.937203937601809},
                                                           {0.2, 1.8262137798958404},
                                                           {0.25, 0.71982395800071}};
  for (const auto& [std, exponent] : official) {
    EXPECT_NEAR(power_exponent(std) / exponent, 1, 1e-12) << std;
  }
}

TEST(PowerAverage, WidthAndExponentAreInverse) {
  for (const double std : {1e-5, 0.003, 0.05, 0.1, 0.2, 0.28}) {
    EXPECT_NEAR(power_std(power_exponent(std)) / std, 1, 1e-12) << std;
  }
  EXPECT_NEAR(power_exponent(kLargestPowerStd), 0, 1e-12);
  EXPECT_NEAR(power_std(0), kLargestPowerStd, 1e-16);
}

// power_function_beta(0.1, n, 1).
TEST(PowerAverage, RatesAreTheOfficialOnes) {
  EXPECT_EQ(power_rate(0.1, 0), 0);
  EXPECT_NEAR(power_rate(0.1, 1), 0.004080031659650188, 1e-14);
  EXPECT_NEAR(power_rate(0.1, 999), 0.9920902726450789, 1e-14);
}

// The integral by the trapezoidal rule.
TEST(PowerAverage, TheInnerProductIsTheIntegral) {
  const auto density = [](const PowerProfile& profile, double t) {
    const double exponent = power_exponent(profile.std);
    const auto n = static_cast<double>(profile.step);
    return t <= n ? (exponent + 1) / n * std::pow(t / n, exponent) : 0;
  };
  for (const PowerProfile& a : {PowerProfile{0.05, 30}, PowerProfile{0.2, 20}, PowerProfile{0.1, 20}}) {
    for (const PowerProfile& b : {PowerProfile{0.1, 20}, PowerProfile{0.15, 30}}) {
      constexpr int64_t kPieces = 200'000;
      const auto end = static_cast<double>(std::min(a.step, b.step));
      double integral = 0;
      for (int64_t i = 0; i <= kPieces; ++i) {
        const double t = end * static_cast<double>(i) / kPieces;
        integral += density(a, t) * density(b, t) * (i == 0 || i == kPieces ? 0.5 : 1) * end / kPieces;
      }
      EXPECT_NEAR(inner_product(a, b) / integral, 1, 1e-6) << a.std << ' ' << b.std;
      EXPECT_NEAR(inner_product(a, b), inner_product(b, a), 1e-16);
    }
  }
}

// solve_posthoc_coefficients.
TEST(PowerAverage, CoefficientsAreTheOfficialOnes) {
  struct Official {
    PowerProfile wanted;
    std::vector<double> coefficients;
  };
  const std::vector<Official> official = {
      {{0.075, 400},
       {5.546456340553347e-08, -9.9148067771992e-07, 0.00013089783154824545, -0.0007879841738916868,
        0.011581696005781647, -0.0446650485812775, 0.3364241579366222, 0.6973172169973315}},
      {{0.075, 350},
       {2.90772011410846e-07, -5.197820251964219e-06, 0.0006862296109737035, -0.004130993361061328,
        0.0789822091523062, -0.11534600694185686, -1.4503492552733954, 2.4901627238612742}},
      {{0.2, 400},
       {-0.007879761217420709, 0.021857813853597478, -0.05542667539792754, 0.13991510692741443,
        -0.15928122403439798, 0.376476688468807, -0.3141807727097289, 0.9985188241096561}}};
  for (const Official& one : official) {
    const Combination made = combine(kEightSnapshots, one.wanted);
    ASSERT_EQ(made.coefficients.size(), one.coefficients.size());
    for (size_t i = 0; i < one.coefficients.size(); ++i) {
      EXPECT_NEAR(made.coefficients[i], one.coefficients[i], 1e-12) << one.wanted.std << ' ' << i;
    }
  }
}

// By numpy from the same formula; the middle one lies between two snapshots, where nothing is known.
TEST(PowerAverage, TheErrorTellsWhatSnapshotsDoNotSpan) {
  EXPECT_NEAR(combine(kEightSnapshots, {0.075, 400}).error, 0.0346307983, 1e-8);
  EXPECT_NEAR(combine(kEightSnapshots, {0.075, 350}).error, 0.7243550182, 1e-8);
  EXPECT_NEAR(combine(kEightSnapshots, {0.2, 400}).error, 0.2226204202, 1e-8);
}

TEST(PowerAverage, ASnapshotIsMadeOfItself) {
  const Combination made = combine(kEightSnapshots, {0.1, 300});
  for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(made.coefficients[i], i == 5 ? 1 : 0, 1e-12) << i;
  EXPECT_NEAR(made.error, 0, 1e-6);
}

TEST(PowerAverage, TwoSnapshotsOfOneProfileCannotBeToldApart) {
  EXPECT_THROW(combine({{0.1, 300}, {0.1, 300}}, {0.05, 300}), InputError);
}

}  // namespace
}  // namespace cm
