#include "cm/distributed/gradient_sum.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "cm/base/fields.h"
#include "cm/base/random.h"
#include "cm/kernels/normal.h"
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

constexpr std::array kShards = {Shard::none, Shard::optimizer, Shard::gradients};

// The sums that a rank has, each beside its part of `joined`'s gradient.
void expect_sums(const ParameterShards& shards, const Example& joined) {
  const auto all = joined.all();
  for (size_t k = 0; k < shards.pieces().size(); ++k) {
    const auto& [parameter, first, count, in_own] = shards.pieces()[k];
    const Tensor& expected = all[parameter].grad();
    ASSERT_EQ(shards.own()[k].grad().defined(), expected.defined()) << parameter;
    if (expected.defined())
      expect_close(shards.own()[k].grad().reshape({-1}), expected.view({-1}).narrow(0, first, count));
  }
}

// Two steps of two ranks with two backward passes each, against the joined batch in one.
void expect_equal_to_the_joined_batch(Shard shard, int64_t bucket_bytes) {
  const Example joined;
  joined.loss(0, 8).backward();
  on_ranks(2, [&](const World& world) {
    const Example mine;
    const ParameterShards shards(world, mine.all(), shard, bucket_bytes);
    GradientSum sum(shards);
    for (int step = 0; step < 2; ++step) {
      const int64_t first = 4 * world.rank();
      sum.begin(/*is_last=*/false);
      mine.loss(first, 3).backward();
      sum.begin(/*is_last=*/true);
      mine.loss(first + 3, 1).backward();
      sum.finish();
      expect_sums(shards, joined);
      for (const Tensor& part : shards.own()) part.mutable_grad() = Tensor();
      for (const Tensor& parameter : mine.all()) EXPECT_FALSE(parameter.grad().defined());
    }
  });
}

TEST(GradientSum, EqualsTheJoinedBatchInOneBucket) {
  for (const Shard shard : kShards) expect_equal_to_the_joined_batch(shard, ParameterShards::kBucketBytes);
}

// Four of them, of which gradients that are cut keep two under way.
TEST(GradientSum, EqualsTheJoinedBatchInABucketForEachParameter) {
  for (const Shard shard : kShards) expect_equal_to_the_joined_batch(shard, 1);
}

TEST(GradientSum, SendsWhileTheBackwardPassStillRuns) {
  on_ranks(2, [](const World& world) {
    const Example mine;
    const ParameterShards shards(world, mine.parameters, Shard::none, 1);
    GradientSum sum(shards);
    const Tensor x = torch::zeros({}).requires_grad_(true);
    // The parameters' gradients come first, x's last: by then the sum has arrived, if it was sent in time.
    bool arrived = false;
    x.register_hook([&](const Tensor&) {
      for (int tries = 0; !arrived && tries < 500; ++tries) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        arrived = torch::equal(mine.parameters[2].grad(), torch::full({3, 4}, 2.0));
      }
    });
    sum.begin(/*is_last=*/true);
    (mine.parameters[2].sum() + (x * 2 - x).relu().exp()).backward();
    EXPECT_TRUE(arrived);
    sum.finish();
  });
}

// What the parameters' gradients add up to on the ranks, of each the part that is there.
double summed(const ParameterShards& shards, size_t parameter) {
  Tensor total = torch::zeros({1});
  for (size_t k = 0; k < shards.pieces().size(); ++k) {
    if (shards.pieces()[k].parameter == parameter) total += shards.own()[k].grad().sum();
  }
  if (shards.shard() != Shard::none) shards.world().all_reduce_sum(total);
  return total.item<double>();
}

TEST(GradientSum, AGradientOfAnEarlierPassAloneIsSummedToo) {
  for (const Shard shard : kShards) {
    on_ranks(2, [&](const World& world) {
      const Example mine;
      const ParameterShards shards(world, mine.all(), shard, 1);
      GradientSum sum(shards);
      sum.begin(/*is_last=*/false);
      mine.unused.sum().backward();
      sum.begin(/*is_last=*/true);
      mine.loss(0, 1).backward();
      sum.finish();
      EXPECT_EQ(summed(shards, 1), 8) << to_string(shard);
    });
  }
}

TEST(GradientSum, WhatIsAddedTwiceInAPassIsSummedOnce) {
  for (const Shard shard : kShards) {
    on_ranks(2, [&](const World& world) {
      const Example mine;
      const ParameterShards shards(world, mine.all(), shard);
      GradientSum sum(shards);
      sum.begin(/*is_last=*/true);
      mine.unused.sum().backward();
      mine.unused.sum().backward();  // as a block that is recomputed twice does, within one pass
      sum.finish();
      EXPECT_EQ(summed(shards, 1), 16) << to_string(shard);
    });
  }
}

TEST(GradientSum, LeavesNoHooksBehind) {
  const Example mine;
  const ParameterShards shards(World(), mine.all(), Shard::none);
  { const GradientSum sum(shards); }
  mine.unused.sum().backward();
  EXPECT_TRUE(torch::equal(mine.unused.grad(), torch::ones({2, 2})));
}

}  // namespace
}  // namespace cm
