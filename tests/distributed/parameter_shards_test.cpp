#include "cm/distributed/parameter_shards.h"

#include <gtest/gtest.h>

#include "support/loopback.h"

namespace cm {
namespace {

using test::on_ranks;

// 23 numbers, which neither two nor three ranks share evenly; each says where it is.
std::vector<Tensor> numbered() {
  return {torch::arange(6.0).view({2, 3}), torch::arange(10.0, 11.0), torch::arange(20.0, 36.0).view({4, 4})};
}

constexpr int64_t kTwoOfThem = 4 * 17;  // bytes of the last two

TEST(ParameterShards, OneRankOrNoneThatIsCutKeepsTheParametersAsTheyAre) {
  const auto parameters = numbered();
  const ParameterShards alone(World(), parameters, Shard::gradients);
  EXPECT_EQ(alone.shard(), Shard::none);
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(alone.own()[i].is_same(parameters[i]));
  alone.begin_gather().wait();
  alone.gather(parameters, 2, [&](size_t i, const Tensor& x) { EXPECT_TRUE(x.is_same(parameters[i])); });
  on_ranks(2, [&](const World& world) {
    const auto mine = numbered();
    const ParameterShards shards(world, mine, Shard::none);
    EXPECT_EQ(shards.own().size(), 3);
    EXPECT_TRUE(shards.own()[2].is_same(mine[2]));
  });
}

TEST(ParameterShards, APartIsOfOneRankAlone) {
  for (const int64_t ranks : {2, 3}) {
    on_ranks(ranks, [&](const World& world) {
      const auto mine = numbered();
      const ParameterShards shards(world, mine, Shard::optimizer, kTwoOfThem);
      EXPECT_EQ(shards.layout().buckets(), 2);
      for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(torch::equal(mine[i], numbered()[i]));
      const torch::NoGradGuard guard;
      int64_t numbers = 0;
      for (const Tensor& part : shards.own()) {
        part.add_(100);
        numbers += part.numel();
      }
      EXPECT_LE(numbers, 23 / ranks + 2);  // a number more of each bucket at most
      const Tensor holders = torch::tensor({shards.has_part_of(1) ? 1 : 0});
      world.all_reduce_sum(holders);
      EXPECT_EQ(holders.item<int64_t>(), 1);  // of a single number
      // Everything is 100 more on one rank, and as it was on the others.
      for (size_t i = 0; i < 3; ++i) {
        const Tensor sum = mine[i].clone();
        world.all_reduce_sum(sum);
        EXPECT_TRUE(torch::equal(sum, static_cast<double>(ranks) * numbered()[i] + 100)) << i;
      }
      shards.begin_gather().wait();
      for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(torch::equal(mine[i], numbered()[i] + 100)) << i;
    });
  }
}

TEST(ParameterShards, ListsOfPartsAreCutAndJoined) {
  on_ranks(3, [&](const World& world) {
    const ParameterShards shards(world, numbered(), Shard::optimizer, kTwoOfThem);
    for (const size_t count : {2, 3}) {
      std::vector<Tensor> parts;
      for (const Tensor& part : shards.own_of(count)) parts.push_back(torch::zeros_like(part));
      const auto whole = numbered();
      for (size_t i = 0; i < count; ++i) {
        if (shards.has_part_of(i)) shards.scatter(i, -whole[i], parts);
      }
      size_t visited = 0;
      shards.gather(parts, count, [&](size_t i, const Tensor& joined) {
        EXPECT_TRUE(torch::equal(joined, -whole[i])) << i;
        ++visited;
      });
      EXPECT_EQ(visited, count);
    }
  });
}

TEST(ParameterShards, RefusesWhatRanksCannotShare) {
  on_ranks(2, [](const World& world) {
    const auto refused = [&](const Tensor& parameter) {
      EXPECT_THROW(ParameterShards(world, {parameter}, Shard::optimizer), c10::Error);
    };
    refused(torch::zeros({2}, torch::kFloat64));
    refused(torch::zeros({2, 3}).t());
    EXPECT_THROW(ParameterShards(world, {}, Shard::none), c10::Error);
    if (world.rank() == 1) refused(torch::zeros({1}));
  });
}

}  // namespace
}  // namespace cm
