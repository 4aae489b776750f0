#include "cm/training/loss_scale.h"

#include <gtest/gtest.h>

namespace cm {
namespace {

constexpr int64_t kCleanSteps = 2000;

double after(LossScale& scale, int64_t steps, bool usable) {
  for (int64_t i = 0; i < steps; ++i) scale.update(torch::tensor(usable));
  return scale.value().item<double>();
}

TEST(LossScale, AnOverflowHalvesItDownToOne) {
  LossScale scale(torch::kCPU);
  EXPECT_EQ(scale.value().item<double>(), 65536);
  EXPECT_EQ(after(scale, 3, false), 8192);
  EXPECT_TRUE(scale.may_be_too_large().item<bool>());
  EXPECT_EQ(after(scale, 20, false), 1);
  EXPECT_FALSE(scale.may_be_too_large().item<bool>());
}

TEST(LossScale, CleanStepsInARowDoubleIt) {
  LossScale scale(torch::kCPU);
  EXPECT_EQ(after(scale, kCleanSteps - 1, true), 65536);
  EXPECT_EQ(after(scale, 1, true), 131072);
  EXPECT_EQ(scale.clean_steps().item<int64_t>(), 0);
  after(scale, kCleanSteps - 1, true);
  EXPECT_EQ(after(scale, 1, false), 65536);
  EXPECT_EQ(after(scale, kCleanSteps - 1, true), 65536);  // the row began anew
  EXPECT_EQ(after(scale, 1, true), 131072);
}

TEST(LossScale, GoesOnFromItsState) {
  LossScale scale(torch::kCPU);
  scale.restore(16, kCleanSteps - 1);
  EXPECT_EQ(after(scale, 1, true), 32);
}

}  // namespace
}  // namespace cm
