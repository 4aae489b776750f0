#include "cm/distributed/agreement.h"

#include <gtest/gtest.h>

#include "support/loopback.h"

namespace cm {
namespace {

TEST(Agreement, AloneIsTheWish) {
  Agreement agreement{World()};
  EXPECT_FALSE(agreement.agreed(false));
  EXPECT_TRUE(agreement.agreed(true));
}

TEST(Agreement, AllRanksAgreeInTheStepAfterOneWishes) {
  test::on_ranks(3, [](const World& world) {
    Agreement agreement(world);
    EXPECT_FALSE(agreement.agreed(false));
    EXPECT_FALSE(agreement.agreed(world.rank() == 1));
    EXPECT_TRUE(agreement.agreed(false));
  });
}

}  // namespace
}  // namespace cm
