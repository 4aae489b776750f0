#include "src/cli/sparkline.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace cm {
namespace {

constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A value every ten steps.
std::vector<CurvePoint> every_ten(const std::vector<double>& values) {
  std::vector<CurvePoint> points;
  for (const double value : values) points.push_back({static_cast<int64_t>(10 * (points.size() + 1)), value});
  return points;
}

TEST(Sparkline, ResamplesByTheMeansOfEqualParts) {
  EXPECT_EQ(resampled(every_ten({1, 3, 5, 7, 9, 11}), 3), (std::vector<double>{2, 6, 10}));
  EXPECT_EQ(resampled(every_ten({1, 2, 3}), 5), (std::vector<double>{1, 2, 3}));
  for (size_t count = 1; count < 200; ++count) {
    std::vector<double> values(count);
    for (size_t i = 0; i < count; ++i) values[i] = static_cast<double>(i);
    ASSERT_EQ(resampled(every_ten(values), count), values);
  }
  EXPECT_TRUE(resampled({}, 5).empty());
  EXPECT_TRUE(resampled(every_ten({1}), 0).empty());
}

TEST(Sparkline, PartsHaveAsManyStepsHoweverManyPoints) {
  const std::vector<CurvePoint> points = {{1, 8}, {2, 6}, {50, 3}, {98, 1}, {99, 2}, {100, 0}};
  EXPECT_EQ(resampled(points, 4), (std::vector<double>{7, 3, 3, 1}));
}

TEST(Sparkline, WhatIsNotFiniteIsLeftOutOfItsPart) {
  const auto means = resampled(every_ten({1, kNotANumber, 3, kInfinity, kNotANumber, kNotANumber}), 3);
  EXPECT_EQ(means[0], 1);
  EXPECT_EQ(means[1], 3);
  EXPECT_TRUE(std::isnan(means[2]));
}

TEST(Sparkline, GoesFromTheLowestBlockToTheHighest) {
  const Sparkline line = sparkline(every_ten({0, 1, 2, 3, 4, 5, 6, 7}), 8);
  EXPECT_EQ(line.text, "▁▂▃▄▅▆▇█");
  EXPECT_EQ(line.lowest, 0);
  EXPECT_EQ(line.highest, 7);
  EXPECT_FALSE(line.log_scale);
}

TEST(Sparkline, IsLogarithmicOverADecadeOfPositiveValues) {
  const Sparkline line = sparkline(every_ten({128, 64, 32, 16, 8, 4, 2, 1}), 8);
  EXPECT_EQ(line.text, "█▇▆▅▄▃▂▁");
  EXPECT_TRUE(line.log_scale);
  EXPECT_FALSE(sparkline(every_ten({9.9, 1}), 2).log_scale);
  EXPECT_TRUE(sparkline(every_ten({10, 1}), 2).log_scale);
  EXPECT_FALSE(sparkline(every_ten({100, 0}), 2).log_scale);
  EXPECT_FALSE(sparkline(every_ten({100, -1}), 2).log_scale);
}

TEST(Sparkline, ShowsGapsAndFlatCurves) {
  EXPECT_EQ(sparkline(every_ten({1, kNotANumber, 2}), 3).text, "▁ █");
  EXPECT_EQ(sparkline(every_ten({5, 5}), 9).text, "▄▄");
  EXPECT_EQ(sparkline(every_ten({kNotANumber, kInfinity}), 2).text, "");
  EXPECT_EQ(sparkline({}, 2).text, "");
}

}  // namespace
}  // namespace cm
