#include "src/cli/search_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cm {
namespace {

using testing::ElementsAre;

SearchReport report() {
  return {
      .metric = "frechet",
      .basis = "9 samples, pixels",
      .levels = {80, 10, 1.0 / 3, 0.1, 0.002},
      .searches = {{.before = {0}, .brackets = {{0, 4}}, .tried = {{1, 0.5}, {2, 0.75}}, .chosen = 1},
                   {.before = {0, 1}, .brackets = {{1, 4}}, .tried = {{2, 0.4}, {3, 0.25}}, .chosen = 3}}};
}

TEST(SearchReport, FindsTheSigmas) {
  EXPECT_THAT(found_sigmas(report()), ElementsAre(80, 10, 0.1));
}

TEST(SearchReport, ItsListReadsBackAsTheSameNumbers) {
  EXPECT_EQ(list_of({80, 1.0 / 3, 0.1}), "80,0.3333333333333333,0.1");
  EXPECT_EQ(std::stod("0.3333333333333333"), 1.0 / 3);
}

TEST(SearchReport, TheTableStarsEachChoice) {
  EXPECT_EQ(table_of(report()),
            "step 2, after 80\n"
            "       index       sigma         frechet\n"
            "           1          10             0.5 *\n"
            "           2     0.33333            0.75\n"
            "step 3, after 80, 10\n"
            "       index       sigma         frechet\n"
            "           2     0.33333             0.4\n"
            "           3         0.1            0.25 *\n");
}

TEST(SearchReport, TheChartHasACurveAStepWithItsChoiceMarked) {
  const Chart chart = chart_of(report());
  EXPECT_EQ(chart.title, "frechet of 9 samples, pixels");
  EXPECT_EQ(chart.y_label, "frechet");
  ASSERT_EQ(chart.curves.size(), 2U);
  EXPECT_THAT(chart.curves[0].x, ElementsAre(1.0 / 3, 10));
  EXPECT_THAT(chart.curves[0].y, ElementsAre(0.75, 0.5));
  EXPECT_EQ(chart.curves[0].marked, 1U);
  EXPECT_EQ(chart.curves[0].label, "step 2: 0.5 at sigma 10");
  EXPECT_EQ(chart.curves[1].marked, 0U);
}

}  // namespace
}  // namespace cm
