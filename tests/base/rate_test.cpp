#include "cm/base/rate.h"

#include <gtest/gtest.h>

namespace cm {
namespace {

// One unit at a time, `per_second` of them a second for `seconds`. The time at the end.
double work(Rate& rate, int64_t& done, double now, double per_second, double seconds) {
  const auto units = static_cast<int64_t>(per_second * seconds);
  for (int64_t i = 1; i <= units; ++i) rate.update(++done, now + static_cast<double>(i) / per_second);
  return now + static_cast<double>(units) / per_second;
}

TEST(Rate, ConstantSpeedIsExact) {
  for (const double per_second : {0.001, 0.5, 4.0, 1024.0}) {
    Rate rate(0, 100);
    int64_t done = 0;
    const double now = work(rate, done, 100, per_second, per_second < 1 ? 10 / per_second : 200);
    EXPECT_DOUBLE_EQ(rate.per_second(now), per_second);
    EXPECT_DOUBLE_EQ(rate.seconds_left(done + 50, now), 50 / per_second);
  }
}

TEST(Rate, ASlowBeginningIsForgottenWithinAMinute) {
  Rate rate(0, 0);
  rate.update(1, 500);  // loading, say
  int64_t done = 1;
  double now = work(rate, done, 500, 8, 30);
  EXPECT_LT(rate.per_second(now), 1);
  now = work(rate, done, now, 8, 31);
  EXPECT_NEAR(rate.per_second(now), 8, 8 * 0.001);
}

TEST(Rate, FollowsAChangeOfSpeed) {
  Rate rate(0, 0);
  int64_t done = 0;
  double now = work(rate, done, 0, 16, 600);
  now = work(rate, done, now, 2, 62);
  EXPECT_NEAR(rate.per_second(now), 2, 2 * 0.001);
}

TEST(Rate, AStallRaisesWhatIsLeftAndNeverEndsIt) {
  Rate rate(0, 0);
  int64_t done = 0;
  const double now = work(rate, done, 0, 2, 120);
  const int64_t total = done + 100;
  double left = rate.seconds_left(total, now);
  EXPECT_DOUBLE_EQ(left, 50);
  for (const double stall : {1.0, 10.0, 100.0, 10000.0}) {
    const double longer = rate.seconds_left(total, now + stall);
    EXPECT_GT(longer, left);
    left = longer;
  }
  rate.update(done + 1, now + 1000);  // the stall itself is all that the window holds
  EXPECT_NEAR(rate.per_second(now + 1000), 1 / 1000.0, 1e-6);
}

TEST(Rate, WhatWasDoneBeforeIsNotCounted) {
  Rate rate(1'000'000, 0);
  EXPECT_EQ(rate.per_second(10), 0);
  EXPECT_EQ(rate.seconds_left(1'000'100, 10), -1);
  rate.update(1'000'020, 10);
  EXPECT_DOUBLE_EQ(rate.per_second(10), 2);
  EXPECT_DOUBLE_EQ(rate.seconds_left(1'000'100, 10), 40);
}

TEST(Rate, NothingIsLeftAtTheEnd) {
  EXPECT_EQ(Rate(0, 0).seconds_left(0, 0), 0);
  Rate rate(0, 0);
  rate.update(5, 0);  // no time has passed
  EXPECT_EQ(rate.per_second(0), 0);
  EXPECT_EQ(rate.seconds_left(5, 1), 0);
}

}  // namespace
}  // namespace cm
