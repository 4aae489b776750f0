#include "cm/training/interrupt.h"

#include <gtest/gtest.h>

#include <csignal>

namespace cm {
namespace {

TEST(Interrupt, ASignalIsAWish) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const InterruptGuard guard;
    EXPECT_FALSE(guard.requested());
    std::raise(signal);
    EXPECT_TRUE(guard.requested());
  }
  EXPECT_FALSE(InterruptGuard().requested());
}

TEST(Interrupt, AfterItSignalsDoWhatTheyDid) {
  static int seen = 0;
  const auto before = std::signal(SIGTERM, [](int) { ++seen; });
  {
    const InterruptGuard guard;
    std::raise(SIGTERM);
    EXPECT_EQ(seen, 0);
    std::raise(SIGTERM);
    EXPECT_EQ(seen, 1);
  }
  std::raise(SIGTERM);
  EXPECT_EQ(seen, 2);
  std::signal(SIGTERM, before);
}

TEST(InterruptDeathTest, TheSecondSignalEndsTheProcess) {
  const auto twice = [] {
    const InterruptGuard guard;
    std::raise(SIGTERM);
    std::raise(SIGTERM);
  };
  EXPECT_EXIT(twice(), testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace cm
