#include "cm/nn/block_input.h"

#include <gtest/gtest.h>

#include "support/random_batch.h"

namespace cm {
namespace {

// Its activations kept, a block runs once; recomputed, a second time in the backward pass. The answer is the
// same.
TEST(BlockInput, ABlockRunsAgainOnlyWhereItsActivationsAreNotKept) {
  for (const bool recompute : {false, true}) {
    int runs = 0;
    const Block block = [&](const Tensor& x, const Tensor& embedding) {
      ++runs;
      return x * embedding.sin();
    };
    const Tensor x = test::random_batch(1, {3}).requires_grad_(true);
    const BlockInput input{test::random_batch(2, {3}), std::nullopt, recompute};
    const Tensor y = run_block(block, x, input);
    EXPECT_TRUE(torch::equal(y, x * input.embedding.sin()));
    y.sum().backward();
    EXPECT_EQ(runs, recompute ? 2 : 1);
    EXPECT_TRUE(torch::equal(x.grad(), input.embedding.sin()));
  }
}

}  // namespace
}  // namespace cm
