#include "cm/distributed/spread.h"

#include <gtest/gtest.h>

#include "support/loopback.h"

namespace cm {
namespace {

// Row i is i and the size of the batch that it was made in.
Tensor rows(int64_t first, int64_t n) {
  return torch::stack({torch::arange(first, first + n), torch::full({n}, n)}, 1);
}

TEST(Spread, JoinsTheSameBatchesForAnyNumberOfRanks) {
  for (const int64_t count : {1, 3, 7, 12}) {
    const Tensor alone = spread_batches(World(), count, 3, rows);
    EXPECT_TRUE(torch::equal(alone.select(1, 0), torch::arange(count)));
    test::on_ranks(3, [&](const World& world) {
      const Tensor joined = spread_batches(world, count, 3, rows);
      EXPECT_EQ(joined.defined(), world.is_first());
      if (joined.defined()) {
        EXPECT_TRUE(torch::equal(joined, alone)) << count;
      }
    });
  }
}

TEST(Spread, DividesTheBatches) {
  test::on_ranks(2, [](const World& world) {
    int64_t calls = 0;
    spread_batches(world, 10, 2, [&](int64_t first, int64_t n) {
      ++calls;
      return rows(first, n);
    });
    EXPECT_EQ(calls, world.is_first() ? 3 : 2);
  });
}

}  // namespace
}  // namespace cm
