#include "cm/bench/measurement.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace cm {
namespace {

TEST(Measurement, MedianAndSmallest) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3}), 2.5);
  EXPECT_EQ(smallest({3, 1, 2}), 1);
  EXPECT_THROW(median({}), c10::Error);
  EXPECT_THROW(smallest({}), c10::Error);
}

TEST(Measurement, RepeatsWhatIsAskedFor) {
  int calls = 0;
  const Repeats repeats =
      measure_repeats({.warmup = 2, .steps = 5, .max_seconds = 100}, torch::kCPU, [&] { ++calls; });
  EXPECT_EQ(calls, 7);
  EXPECT_EQ(repeats.wall_ms.size(), 5);
  EXPECT_EQ(repeats.cpu_ms.size(), 5);
}

TEST(Measurement, StopsInTimeButNotBeforeTheThird) {
  const auto nap = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  const Repeats repeats =
      measure_repeats({.warmup = 0, .steps = 1000, .max_seconds = 0.01}, torch::kCPU, nap);
  EXPECT_EQ(repeats.wall_ms.size(), 3);
  EXPECT_GE(smallest(repeats.wall_ms), 20);
  EXPECT_LT(smallest(repeats.cpu_ms), 20);  // asleep
}

TEST(Measurement, WorkTakesProcessorTime) {
  const auto work = [] {
    const double start = process_cpu_seconds();
    while (process_cpu_seconds() - start < 0.01) {
    }
  };
  const Repeats repeats = measure_repeats({.warmup = 0, .steps = 1, .max_seconds = 1}, torch::kCPU, work);
  EXPECT_GE(repeats.cpu_ms.at(0), 10);
}

TEST(Measurement, PeakMemoryGrowsWithWhatIsTouched) {
  const double before = peak_rss_mb();
  const std::vector<char> block(size_t{200} << 20, 1);
  EXPECT_GE(peak_rss_mb(), std::max(before, 200.0));
  EXPECT_EQ(peak_device_mb(torch::kCPU), 0);
}

}  // namespace
}  // namespace cm
