#include "src/cli/evaluation_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cm {
namespace {

using testing::ElementsAre;

Json report(const std::string& run, int64_t step, const Json& ema, double value) {
  return {{"frechet", value},
          {"seed", 0},
          {"features", {{"name", "pixels"}}},
          {"samples", {{"path", "w"}, {"count", 9}, {"run", run}, {"step", step}, {"ema", ema}}}};
}

TEST(EvaluationReport, TheTableHasALineAReport) {
  Json file = report("", 0, nullptr, 3);
  file["samples"] = {{"path", "weights/a.safetensors"}, {"count", 9}};
  EXPECT_EQ(
      table_of(std::vector{report("runs/cd", 20, 0.999, 1.25), report("runs/cd", 3000, nullptr, 10), file}),
      "checkpoint             step    ema  frechet\n"
      "runs/cd                  20  0.999     1.25\n"
      "runs/cd                3000      0       10\n"
      "weights/a.safetensors     -      -        3\n");
}

TEST(EvaluationReport, TheChartHasACurveForEachAverageWithItsStepsInOrder) {
  const Chart chart = chart_over_training(
      {report("r", 40, 0.9, 1), report("r", 20, 0.9, 2), report("r", 20, nullptr, 3)}, "frechet");
  EXPECT_EQ(chart.title, "frechet of 9 samples, pixels");
  EXPECT_EQ(chart.x_axis, Axis::linear);
  ASSERT_EQ(chart.curves.size(), 2U);
  EXPECT_EQ(chart.curves[0].label, "ema 0.9");
  EXPECT_THAT(chart.curves[0].x, ElementsAre(20, 40));
  EXPECT_THAT(chart.curves[0].y, ElementsAre(2, 1));
  EXPECT_EQ(chart.curves[1].label, "trained weights");
}

TEST(EvaluationReport, CurvesOfSeveralRunsSayWhichTheyAre) {
  const Chart chart = chart_over_training({report("a", 1, 0.9, 1), report("b", 1, 0.9, 2)}, "frechet");
  EXPECT_EQ(chart.curves.at(0).label, "a, ema 0.9");
  EXPECT_EQ(chart.curves.at(1).label, "b, ema 0.9");
}

}  // namespace
}  // namespace cm
