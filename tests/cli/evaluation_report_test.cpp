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
  const Chart chart =
      chart_of({report("r", 40, 0.9, 1), report("r", 20, 0.9, 2), report("r", 20, nullptr, 3)}, "frechet");
  EXPECT_EQ(chart.title, "frechet of 9 samples, pixels");
  EXPECT_EQ(chart.x_axis, Axis::linear);
  ASSERT_EQ(chart.curves.size(), 2U);
  EXPECT_EQ(chart.curves[0].label, "ema 0.9");
  EXPECT_THAT(chart.curves[0].x, ElementsAre(20, 40));
  EXPECT_THAT(chart.curves[0].y, ElementsAre(2, 1));
  EXPECT_EQ(chart.curves[1].label, "trained weights");
}

TEST(EvaluationReport, CurvesOfSeveralRunsSayWhichTheyAre) {
  const Chart chart = chart_of({report("a", 1, 0.9, 1), report("b", 1, 0.9, 2)}, "frechet");
  EXPECT_EQ(chart.curves.at(0).label, "a, ema 0.9");
  EXPECT_EQ(chart.curves.at(1).label, "b, ema 0.9");
}

Json report_of_std(int64_t step, double std, double value) {
  Json made = report("r", step, nullptr, value);
  made["samples"]["ema_std"] = std;
  return made;
}

TEST(EvaluationReport, TheTableNamesAveragesByPowerFunctions) {
  EXPECT_EQ(table_of(std::vector{report_of_std(20, 0.075, 1.5)}),
            "checkpoint  step        ema  frechet\n"
            "r             20  std 0.075      1.5\n");
}

TEST(EvaluationReport, OfSeveralWidthsTheChartIsOverThemWithTheBestOneMarked) {
  const Chart chart = chart_of({report_of_std(40, 0.2, 3), report_of_std(40, 0.05, 2),
                                report_of_std(40, 0.1, 1), report_of_std(20, 0.05, 4)},
                               "frechet");
  EXPECT_EQ(chart.x_label, "sigma_rel");
  ASSERT_EQ(chart.curves.size(), 2U);
  EXPECT_EQ(chart.curves[0].label, "step 20");
  EXPECT_EQ(chart.curves[1].label, "step 40");
  EXPECT_THAT(chart.curves[1].x, ElementsAre(0.05, 0.1, 0.2));
  EXPECT_THAT(chart.curves[1].y, ElementsAre(2, 1, 3));
  EXPECT_EQ(chart.curves[1].marked, 1U);
}

TEST(EvaluationReport, OfOneWidthTheChartIsOverTraining) {
  const Chart chart = chart_of({report_of_std(20, 0.1, 2), report_of_std(40, 0.1, 1)}, "frechet");
  EXPECT_EQ(chart.x_label, "training step");
  EXPECT_EQ(chart.curves.at(0).label, "ema std 0.1");
  EXPECT_THAT(chart.curves[0].x, ElementsAre(20, 40));
}

}  // namespace
}  // namespace cm
