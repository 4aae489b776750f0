#include "src/cli/metrics_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "cm/base/files.h"
#include "cm/base/text.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using ::testing::ElementsAre;

class MetricsFileTest : public ::testing::Test {
 protected:
  void append(const std::string& text) { std::ofstream(path_, std::ios::app) << text; }

  static std::string line(int64_t step) {
    return concat(R"({"step":)", step, R"(,"loss":)", 1.0 / static_cast<double>(step),
                  R"(,"images_per_second":100})", "\n");
  }

  std::vector<int64_t> steps() {
    metrics_.refresh();
    std::vector<int64_t> steps;
    for (const MetricsLine& line : metrics_.lines()) steps.push_back(line.step);
    return steps;
  }

  test::TemporaryFolder folder_;
  std::filesystem::path path_ = folder_.path() / "metrics.jsonl";
  MetricsFile metrics_{path_};
};

TEST_F(MetricsFileTest, ReadsWhatIsNewOnceItIsAWholeLine) {
  EXPECT_THAT(steps(), ElementsAre());
  append(line(1) + line(2));
  EXPECT_THAT(steps(), ElementsAre(1, 2));
  const std::string third = line(3);
  append(third.substr(0, 8));
  EXPECT_THAT(steps(), ElementsAre(1, 2));
  append(third.substr(8) + line(4));
  EXPECT_THAT(steps(), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(metrics_.lines()[3].loss, 0.25);
  EXPECT_EQ(metrics_.lines()[3].images_per_second, 100);
}

TEST_F(MetricsFileTest, ALossThatIsNotFiniteIsNan) {
  append("{\"step\":1,\"loss\":null}\nno json\n{\"loss\":1}\n{\"step\":\"2\"}\n" + line(3));
  EXPECT_THAT(steps(), ElementsAre(1, 3));
  EXPECT_TRUE(std::isnan(metrics_.lines()[0].loss));
  EXPECT_TRUE(std::isnan(metrics_.lines()[0].images_per_second));
}

TEST_F(MetricsFileTest, FollowsARunThatWentBackToItsCheckpoint) {
  append(line(1) + line(2) + line(3));
  EXPECT_THAT(steps(), ElementsAre(1, 2, 3));
  write_file_atomically(path_, line(1));  // as RunLog cuts it
  EXPECT_THAT(steps(), ElementsAre(1));
  write_file_atomically(path_, line(1));
  append(line(2) + line(3) + line(4) + line(5));  // longer than what was read
  EXPECT_THAT(steps(), ElementsAre(1, 2, 3, 4, 5));
  append(line(4));
  EXPECT_THAT(steps(), ElementsAre(1, 2, 3, 4));
  std::filesystem::remove(path_);
  EXPECT_THAT(steps(), ElementsAre());
}

TEST_F(MetricsFileTest, OfALongFileLinesFromEverywhereAndAllOfTheLast) {
  constexpr int64_t kSteps = 200'000;
  std::string text;
  for (int64_t step = 1; step <= kSteps; ++step) text += line(step);
  append(text);
  const auto read = steps();
  EXPECT_LT(read.size(), 30'000U);
  EXPECT_LT(read.front(), 10);
  ASSERT_EQ(read.back(), kSteps);
  for (size_t i = 1; i < read.size(); ++i) {
    ASSERT_GT(read[i], read[i - 1]);
    ASSERT_LT(read[i] - read[i - 1], kSteps / 50);
  }
  for (int64_t i = 0; i < 1000; ++i) ASSERT_EQ(*(read.rbegin() + i), kSteps - i);
  append(line(kSteps + 1));
  EXPECT_EQ(steps().size(), read.size() + 1);
}

}  // namespace
}  // namespace cm
