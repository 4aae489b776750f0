#include "cm/io/chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "support/message_of.h"

namespace cm {
namespace {

using test::message_of;
using testing::HasSubstr;

// Where the first curve's colour (31, 119, 180) is, and no letter: [rows, columns] of its pixels.
std::pair<Tensor, Tensor> first_colour(const Tensor& picture, int64_t below) {
  const Tensor colour = torch::tensor({31, 119, 180}, torch::kUInt8).view({3, 1, 1});
  const Tensor is_it = (picture.slice(1, below) == colour).all(0);
  const Tensor where = is_it.nonzero();
  return {where.select(1, 0), where.select(1, 1)};
}

Chart chart_of(const std::vector<double>& x, const std::vector<double>& y) {
  return {.title = "t", .x_label = "x", .y_label = "y", .curves = {{.label = "c", .x = x, .y = y}}};
}

constexpr int64_t kBelowLegend = 80;

TEST(Chart, IsAPictureThatGrowsWithItsLegend) {
  Chart chart = chart_of({1, 2, 3}, {0.5, 0.1, 0.4});
  const Tensor one = draw_chart(chart);
  EXPECT_EQ(one.scalar_type(), torch::kUInt8);
  EXPECT_EQ(one.size(0), 3);
  chart.curves.push_back({.label = "d", .x = {1}, .y = {0}, .marked = 0});
  const Tensor two = draw_chart(chart);
  EXPECT_GT(two.size(1), one.size(1));
  EXPECT_EQ(two.size(2), one.size(2));
}

TEST(Chart, LargerIsHigherAndFurtherRight) {
  const auto rising = first_colour(draw_chart(chart_of({1, 10}, {0, 1})), kBelowLegend);
  const auto falling = first_colour(draw_chart(chart_of({1, 10}, {1, 0})), kBelowLegend);
  ASSERT_GT(rising.first.size(0), 100);
  const auto row_at_left = [](const std::pair<Tensor, Tensor>& pixels) {
    return pixels.first[pixels.second.argmin()].item<int64_t>();
  };
  EXPECT_GT(row_at_left(rising), row_at_left(falling));  // rows count downwards
}

TEST(Chart, TheXAxisIsLogarithmic) {
  // Equal ratios are equal distances: the middle of 0.01 … 100 is 1. The dot there is a column of its own.
  const Tensor picture = draw_chart(chart_of({0.01, 1, 100}, {0, 1, 0}));
  const auto [rows, columns] = first_colour(picture, kBelowLegend);
  const double left = columns.min().item<double>();
  const double right = columns.max().item<double>();
  const double top = columns.index({rows == rows.min()}).to(torch::kFloat64).mean().item<double>();
  EXPECT_NEAR(top, (left + right) / 2, 1);
}

TEST(Chart, TheXAxisCanBeLinear) {
  Chart chart = chart_of({0, 500, 1000}, {0, 1, 0});
  chart.x_axis = Axis::linear;
  const auto [rows, columns] = first_colour(draw_chart(chart), kBelowLegend);
  const double middle = (columns.min().item<double>() + columns.max().item<double>()) / 2;
  EXPECT_NEAR(columns.index({rows == rows.min()}).to(torch::kFloat64).mean().item<double>(), middle, 1);
}

TEST(Chart, AMarkIsDrawnAroundItsPoint) {
  Chart chart = chart_of({1, 10, 100}, {3, 1, 2});
  const int64_t plain = first_colour(draw_chart(chart), kBelowLegend).first.size(0);
  chart.curves[0].marked = 1;
  EXPECT_GT(first_colour(draw_chart(chart), kBelowLegend).first.size(0), plain + 20);
}

TEST(Chart, OnePointAndEqualValuesAreDrawnToo) {
  EXPECT_GT(first_colour(draw_chart(chart_of({80}, {0})), kBelowLegend).first.size(0), 10);
  EXPECT_GT(first_colour(draw_chart(chart_of({1, 80}, {5, 5})), kBelowLegend).first.size(0), 100);
  EXPECT_GT(first_colour(draw_chart(chart_of({1, 2}, {-1e9, 1e9})), kBelowLegend).first.size(0), 100);
}

TEST(Chart, RefusesWhatCannotBeDrawn) {
  const auto refusal = [](const Chart& chart) { return message_of<c10::Error>([&] { draw_chart(chart); }); };
  EXPECT_THAT(refusal({}), HasSubstr("a chart needs a curve"));
  EXPECT_THAT(refusal(chart_of({1, 2}, {1})), HasSubstr("the curve 'c' has 2 x and 1 y"));
  EXPECT_THAT(refusal(chart_of({0}, {1})), HasSubstr("the point (0, 1) is outside the chart"));
  EXPECT_THAT(refusal(chart_of({1}, {std::numeric_limits<double>::quiet_NaN()})), HasSubstr("outside"));
  Chart chart = chart_of({1}, {1});
  chart.curves[0].marked = 1;
  EXPECT_THAT(refusal(chart), HasSubstr("has no point 1 to mark"));
}

}  // namespace
}  // namespace cm
