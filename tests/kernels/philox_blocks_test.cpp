#include "src/kernels/philox_blocks.h"

#include <gtest/gtest.h>

namespace cm {
namespace {

TEST(PhiloxBlocks, AreTheBlocksOfTheirCounters) {
  constexpr uint64_t kKey = 0x123456789abcdef0;
  uint32_t counters[kPhiloxBlocks];
  for (uint32_t i = 0; i < kPhiloxBlocks; ++i) counters[i] = 0x9E3779B9 * i;
  PhiloxWords words;
  philox_blocks(kKey, counters, {{0, 7, 0, ~0U}}, words);
  for (int64_t i = 0; i < kPhiloxBlocks; ++i) {
    const PhiloxBlock block = philox(kKey, {{counters[i], 7, 0, ~0U}});
    for (int64_t k = 0; k < 4; ++k) EXPECT_EQ(words[k][i], block.words[k]) << i << ' ' << k;
  }
}

}  // namespace
}  // namespace cm
