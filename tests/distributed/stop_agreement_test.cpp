#include "cm/distributed/stop_agreement.h"

#include <gtest/gtest.h>

#include "support/loopback.h"

namespace cm {
namespace {

TEST(StopAgreement, AloneIsTheWish) {
  StopAgreement agreement{World()};
  EXPECT_FALSE(agreement.agreed(false));
  EXPECT_TRUE(agreement.agreed(true));
}

TEST(StopAgreement, AllRanksStopInTheStepAfterOneWishes) {
  test::on_ranks(3, [](const World& world) {
    StopAgreement agreement(world);
    EXPECT_FALSE(agreement.agreed(false));
    EXPECT_FALSE(agreement.agreed(world.rank() == 1));
    EXPECT_TRUE(agreement.agreed(false));
  });
}

}  // namespace
}  // namespace cm
