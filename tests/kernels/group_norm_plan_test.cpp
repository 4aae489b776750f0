#include "src/kernels/group_norm_plan.h"

#include <gtest/gtest.h>

namespace cm::group_norm_cuda {
namespace {

constexpr int kMultiprocessors = 132;

// The sizes of networks: batches, channels, sides; a number in two and in four bytes; both layouts.
template <class Check>
void for_each_input(const Check& check) {
  for (const int64_t batch : {1, 7, 64, 2048}) {
    for (const int64_t channels : {32, 96, 320, 1024}) {
      for (const int64_t side : {1, 4, 7, 32, 256}) {
        for (const int bytes : {2, 4}) {
          for (const auto layout : {NormLayout::channels_first, NormLayout::channels_last}) {
            SCOPED_TRACE(testing::Message()
                         << "x [" << batch << ", " << channels << ", " << side << ", " << side << "], "
                         << bytes << " bytes, layout " << static_cast<int>(layout));
            check(PlannedInput{batch, channels, channels, side * side, 32, layout, bytes, true});
          }
        }
      }
    }
  }
}

TEST(GroupNormPlan, ItsBlocksCoverAnImageOnce) {
  for_each_input([](const PlannedInput& input) {
    const auto plan = plan_for(input, kMultiprocessors);
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->set % (input.channels / 32), 0);
    EXPECT_GE(int64_t{plan->set} * plan->sets, input.channels);
    EXPECT_LT(int64_t{plan->set} * (plan->sets - 1), input.channels);
    EXPECT_GE(int64_t{plan->slice} * plan->slices, input.positions);
    EXPECT_LT(int64_t{plan->slice} * (plan->slices - 1), input.positions);
    EXPECT_EQ(plan->blocks, input.batch * plan->sets * plan->slices);
    EXPECT_LE(plan->shared_bytes, 48 * 1024);
  });
}

TEST(GroupNormPlan, VectorsFit) {
  for_each_input([](const PlannedInput& input) {
    const auto plan = *plan_for(input, kMultiprocessors);
    const bool last = input.layout == NormLayout::channels_last;
    const bool even = (last ? input.channels : input.positions) % (16 / input.bytes) == 0;
    EXPECT_EQ(plan.vector, even ? 16 / input.bytes : 1);
    EXPECT_EQ((last ? plan.set : plan.slice) % plan.vector, 0);
    PlannedInput beside = input;
    beside.aligned = false;
    EXPECT_EQ(plan_for(beside, kMultiprocessors)->vector, 1);
  });
}

// Channels of one vector lie in one array.
TEST(GroupNormPlan, AVectorCrossesNoSeam) {
  PlannedInput input{2, 96, 48, 64, 32, NormLayout::channels_last, 2, true};
  EXPECT_EQ(plan_for(input, kMultiprocessors)->vector, 8);
  input.seam = 44;
  EXPECT_EQ(plan_for(input, kMultiprocessors)->vector, 1);
  input.layout = NormLayout::channels_first;
  EXPECT_EQ(plan_for(input, kMultiprocessors)->vector, 8);
}

// Threads that exchange sums are whole parts of a warp.
TEST(GroupNormPlan, LanesAlongPositionsDivideAWarp) {
  for_each_input([](const PlannedInput& input) {
    const auto plan = *plan_for(input, kMultiprocessors);
    if (input.layout == NormLayout::channels_first) {
      EXPECT_EQ(32 % plan.lanes, 0);
    } else {
      EXPECT_LE(plan.lanes, kThreads);
    }
  });
}

TEST(GroupNormPlan, LargeImagesOfSmallBatchesFillTheGpu) {
  for (const auto layout : {NormLayout::channels_first, NormLayout::channels_last}) {
    const PlannedInput input{1, 64, 64, 256 * 256, 32, layout, 2, true};
    EXPECT_GE(plan_for(input, kMultiprocessors)->blocks, 2 * kMultiprocessors);
    EXPECT_EQ(plan_for({64, 256, 256, 32 * 32, 32, layout, 2, true}, kMultiprocessors)->slices, 1);
  }
}

TEST(GroupNormPlan, WorkspacesHoldTheNumbersOfEachPart) {
  const PlannedInput input{3, 64, 64, 256 * 256, 32, NormLayout::channels_last, 4, true};
  const auto plan = *plan_for(input, kMultiprocessors);
  ASSERT_GT(plan.slices, 1);
  EXPECT_EQ(forward_workspace(plan, 3), 3 * (32 * 2 + 64) * plan.slices);
  EXPECT_EQ(backward_workspace(plan, 3), 3 * 64 * (plan.slices + 1) * 2);
  const auto whole = *plan_for(input, 1);
  EXPECT_EQ(forward_workspace(whole, 3), 0);
  EXPECT_EQ(backward_workspace(whole, 3), 3 * 64 * 2);
}

TEST(GroupNormPlan, WhatABlockCannotHoldHasNone) {
  EXPECT_FALSE(plan_for({1, 2048, 2048, 16, 1, NormLayout::channels_last, 4, true}, 1));
  EXPECT_TRUE(plan_for({1, 1024, 1024, 16, 1, NormLayout::channels_last, 4, true}, 1));
  EXPECT_FALSE(plan_for({1, 64, 64, int64_t{1} << 25, 32, NormLayout::channels_first, 4, true}, 1));
}

}  // namespace
}  // namespace cm::group_norm_cuda
