#include "cm/distributed/gradient_sum.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/random.h"
#include "support/loopback.h"

namespace cm {
namespace {

using test::on_ranks;

Tensor draw(uint32_t step, const std::vector<int64_t>& shape) {
  return normal({.seed = 5, .step = step}, sample_range(0, shape[0]),
                std::vector<int64_t>(shape.begin() + 1, shape.end()));
}

// A small network of three leaf tensors; the loss of an example is a sum over its outputs, so that the
// gradient of a batch is the sum of those of its parts.
struct Example {
  std::vector<Tensor> parameters = {draw(0, {5, 7}), draw(1, {7, 3}), draw(2, {3, 4})};
  Tensor unused = draw(3, {2, 2});
  Tensor x = draw(4, {8, 5});

  Example() {
    for (auto& parameter : all()) parameter.requires_grad_(true);
  }

  std::vector<Tensor> all() const { return {parameters[0], unused, parameters[1], parameters[2]}; }

  Tensor loss(int64_t first, int64_t count) const {
    Tensor y = x.narrow(0, first, count);
    for (const auto& parameter : parameters) y = torch::tanh(y.mm(parameter));
    return y.square().sum();
  }
};

void expect_close(const Tensor& actual, const Tensor& expected) {
  EXPECT_LT((actual - expected).abs().max().item<double>(), 1e-5 * expected.abs().max().item<double>());
}

// Two steps of two ranks with two backward passes each, against the joined batch in one.
void expect_equal_to_the_joined_batch(int64_t bucket_bytes) {
  const Example joined;
  const Tensor joined_loss = joined.loss(0, 8);
  joined_loss.backward();
  on_ranks(2, [&](const World& world) {
    const Example mine;
    GradientSum sum(world, mine.all(), bucket_bytes);
    for (int step = 0; step < 2; ++step) {
      const int64_t first = 4 * world.rank();
      const Tensor a = mine.loss(first, 3);
      const Tensor b = mine.loss(first + 3, 1);
      a.backward();
      sum.begin((a + b).detach());
      b.backward();
      expect_close(sum.finish(), joined_loss.detach());
      for (size_t i = 0; i < 3; ++i) expect_close(mine.parameters[i].grad(), joined.parameters[i].grad());
      EXPECT_FALSE(mine.unused.grad().defined());
      for (const Tensor& parameter : mine.all()) parameter.mutable_grad() = Tensor();
    }
  });
}

TEST(GradientSum, EqualsTheJoinedBatchInOneBucket) {
  expect_equal_to_the_joined_batch(GradientSum::kBucketBytes);
}

TEST(GradientSum, EqualsTheJoinedBatchInABucketForEachParameter) {
  expect_equal_to_the_joined_batch(1);
}

TEST(GradientSum, SendsWhileTheBackwardPassStillRuns) {
  on_ranks(2, [](const World& world) {
    const Example mine;
    GradientSum sum(world, mine.parameters, 1);
    const Tensor x = torch::zeros({}).requires_grad_(true);
    // The parameters' gradients come first, x's last: by then the sum has arrived, if it was sent in time.
    bool arrived = false;
    x.register_hook([&](const Tensor&) {
      for (int tries = 0; !arrived && tries < 500; ++tries) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        arrived = torch::equal(mine.parameters[2].grad(), torch::full({3, 4}, 2.0));
      }
    });
    sum.begin(torch::zeros({}));
    (mine.parameters[2].sum() + (x * 2 - x).relu().exp()).backward();
    EXPECT_TRUE(arrived);
    sum.finish();
  });
}

TEST(GradientSum, AGradientOfAnEarlierPassAloneIsSummedToo) {
  on_ranks(2, [](const World& world) {
    const Example mine;
    GradientSum sum(world, mine.all(), 1);
    mine.unused.sum().backward();
    sum.begin(torch::zeros({}));
    mine.loss(0, 1).backward();
    sum.finish();
    EXPECT_TRUE(torch::equal(mine.unused.grad(), torch::full({2, 2}, 2.0)));
  });
}

TEST(GradientSum, WhatIsAddedTwiceInAPassIsSummedOnce) {
  on_ranks(2, [](const World& world) {
    const Example mine;
    GradientSum sum(world, mine.all());
    sum.begin(torch::zeros({}));
    mine.unused.sum().backward();
    mine.unused.sum().backward();  // as a block that is recomputed twice does, within one pass
    sum.finish();
    EXPECT_TRUE(torch::equal(mine.unused.grad(), torch::full({2, 2}, 4.0)));
  });
}

TEST(GradientSum, LeavesNoHooksBehind) {
  const Example mine;
  { const GradientSum sum(World(), mine.all()); }
  mine.unused.sum().backward();
  EXPECT_TRUE(torch::equal(mine.unused.grad(), torch::ones({2, 2})));
}

TEST(GradientSum, RefusesWhatIsNoLeafInFp32) {
  EXPECT_THROW(GradientSum(World(), {}), c10::Error);
  EXPECT_THROW(GradientSum(World(), {torch::zeros({2}, torch::kFloat64)}), c10::Error);
}

}  // namespace
}  // namespace cm
