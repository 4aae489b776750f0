#include "cm/nn/dropout.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/closeness.h"

namespace cm {
namespace {

constexpr DropoutKey kKey{17};

TEST(Dropout, TheMaskIsAFunctionOfKeyAndLayer) {
  const Tensor x = torch::ones({4, 100});
  const Tensor first = dropout(x, 0.5, kKey, 0);
  torch::manual_seed(1);
  EXPECT_TRUE(torch::equal(dropout(x, 0.5, kKey, 0), first));
  EXPECT_FALSE(torch::equal(dropout(x, 0.5, kKey, 1), first));
  EXPECT_FALSE(torch::equal(dropout(x, 0.5, DropoutKey{18}, 0), first));
}

TEST(Dropout, DropsAtItsRateAndKeepsTheMean) {
  const int64_t count = 100'000;
  for (const double rate : {0.1, 0.3, 0.9}) {
    const Tensor y = dropout(torch::ones({count}), rate, kKey, 3);
    const double dropped = (y == 0).to(torch::kFloat64).mean().item<double>();
    EXPECT_NEAR(dropped, rate, 5 * std::sqrt(rate * (1 - rate) / static_cast<double>(count)));
    const Tensor kept = y.masked_select(y != 0);
    EXPECT_LT(test::largest_difference(kept, torch::full_like(kept, 1 / (1 - rate))), 1e-5);
  }
}

// Two kernels may leave the same numbers in another order of memory.
TEST(Dropout, TheMaskDoesNotDependOnTheLayout) {
  const Tensor x = torch::ones({2, 8, 5, 5});
  const Tensor channels_last = x.contiguous(at::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(torch::equal(dropout(channels_last, 0.5, kKey, 0), dropout(x, 0.5, kKey, 0)));
}

TEST(Dropout, EvaluationAndRateZeroChangeNothing) {
  const Tensor x = torch::ones({4, 100});
  EXPECT_TRUE(dropout(x, 0.5, std::nullopt, 0).is_same(x));
  EXPECT_TRUE(dropout(x, 0, kKey, 0).is_same(x));
}

}  // namespace
}  // namespace cm
