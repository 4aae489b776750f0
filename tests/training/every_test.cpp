#include "cm/training/every.h"

#include <gtest/gtest.h>

namespace cm {
namespace {

using namespace std::chrono_literals;

std::string read_back(std::string_view word) {
  const auto every = Every::parse(word);
  return every ? every->word() : "nothing";
}

TEST(Every, IsAWordOfStepsOrTime) {
  EXPECT_EQ(std::get<int64_t>(Every::parse("500")->value), 500);
  EXPECT_EQ(std::get<int64_t>(Every::parse("1e4")->value), 10'000);
  EXPECT_EQ(std::get<Every::Duration>(Every::parse("30min")->value), 30min);
  EXPECT_EQ(std::get<Every::Duration>(Every::parse("1.5h")->value), 90min);
  EXPECT_EQ(std::get<Every::Duration>(Every::parse("45s")->value), 45s);
}

TEST(Every, TheWordReadsBack) {
  for (const char* word : {"1", "10000", "1s", "90s", "30min", "2h"}) EXPECT_EQ(read_back(word), word);
  EXPECT_EQ(read_back("120s"), "2min");
  EXPECT_EQ(read_back("0.5h"), "30min");
  EXPECT_EQ(read_back("1000000000000"), "1000000000000");
}

TEST(Every, OtherWordsAreNothing) {
  for (const char* word : {"", "0", "-5", "1.5", "0s", "0.5s", "30 min", "30m", "min", "nan", "inf", "1e300h",
                           "1000000000001", "5steps"}) {
    EXPECT_EQ(read_back(word), "nothing") << word;
  }
}

TEST(Schedule, OfStepsIsDueAtTheirMultiples) {
  Schedule schedule({3});
  std::vector<int64_t> due;
  for (int64_t step = 1; step <= 7; ++step) {
    if (schedule.due(step)) due.push_back(step);
  }
  EXPECT_EQ(due, (std::vector<int64_t>{3, 6}));
}

TEST(Schedule, OfTimeIsDueWhenItHasPassedSinceItLastWas) {
  const Schedule::Clock::time_point start;
  Schedule schedule({10s}, start);
  EXPECT_FALSE(schedule.due(1, start + 9s));
  EXPECT_TRUE(schedule.due(2, start + 14s));
  EXPECT_FALSE(schedule.due(3, start + 20s));
  EXPECT_TRUE(schedule.due(4, start + 24s));
}

}  // namespace
}  // namespace cm
