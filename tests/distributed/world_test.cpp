#include "cm/distributed/world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "support/loopback.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::free_port;
using test::loopback_launch;
using test::message_of;
using test::on_ranks;
using testing::AllOf;
using testing::HasSubstr;

TEST(World, AloneLeavesTensorsAsTheyAre) {
  const World world = connect({}, torch::kCPU);
  EXPECT_EQ(world.rank(), 0);
  EXPECT_EQ(world.size(), 1);
  EXPECT_TRUE(world.is_first());
  const Tensor x = torch::arange(3);
  world.set_timeout(1);
  world.all_reduce_sum(x);
  world.begin_all_reduce_sum(x).wait();
  world.begin_reduce_scatter_sum(x, x).wait();
  world.begin_all_gather(x, x).wait();
  world.broadcast({x});
  world.barrier();
  EXPECT_TRUE(torch::equal(x, torch::arange(3)));
  EXPECT_TRUE(world.gather(x).is_same(x));
  EXPECT_EQ(message_of<InputError>([&] { world.together([] { throw InputError("wrong"); }); }), "wrong");
}

TEST(World, SumsOverRanks) {
  on_ranks(3, [](const World& world) {
    const Tensor x = torch::arange(4, torch::kFloat32) + world.rank();
    const Tensor y = torch::full({2}, world.rank(), torch::kInt64);
    Pending first = world.begin_all_reduce_sum(x);
    Pending second = world.begin_all_reduce_sum(y);
    second.wait();
    first.wait();
    EXPECT_TRUE(torch::equal(x, 3 * torch::arange(4, torch::kFloat32) + 3));
    EXPECT_TRUE(torch::equal(y, torch::full({2}, 3, torch::kInt64)));
  });
}

TEST(World, ScattersSumsAndGathersParts) {
  on_ranks(3, [](const World& world) {
    const Tensor whole = torch::arange(6, torch::kFloat32) + world.rank();
    const Tensor expected = 3 * torch::arange(6, torch::kFloat32).narrow(0, 2 * world.rank(), 2) + 3;
    const Tensor apart = torch::empty({2});
    const Tensor in_place = whole.narrow(0, 2 * world.rank(), 2);
    world.begin_reduce_scatter_sum(whole.clone(), apart).wait();
    world.begin_reduce_scatter_sum(whole, in_place).wait();
    EXPECT_TRUE(torch::equal(apart, expected));
    EXPECT_TRUE(torch::equal(in_place, expected));
    const Tensor gathered = torch::zeros({6});
    world.begin_all_gather(apart, gathered).wait();
    world.begin_all_gather(in_place, whole).wait();
    EXPECT_TRUE(torch::equal(gathered, 3 * torch::arange(6, torch::kFloat32) + 3));
    EXPECT_TRUE(torch::equal(whole, gathered));
  });
}

TEST(World, BroadcastsRankZerosTensors) {
  on_ranks(2, [](const World& world) {
    const std::vector<Tensor> tensors = {torch::full({2, 2}, world.rank() + 7.0),
                                         torch::full({1}, world.rank() - 2, torch::kInt64)};
    world.broadcast(tensors);
    EXPECT_TRUE(torch::equal(tensors[0], torch::full({2, 2}, 7.0)));
    EXPECT_TRUE(torch::equal(tensors[1], torch::full({1}, -2, torch::kInt64)));
  });
}

TEST(World, GathersPartsOfDifferentSizes) {
  on_ranks(3, [](const World& world) {
    const int64_t count = std::array<int64_t, 3>{2, 0, 1}[static_cast<size_t>(world.rank())];
    const Tensor all = world.gather(torch::full({count, 2}, world.rank(), torch::kFloat32));
    EXPECT_EQ(all.defined(), world.is_first());
    if (all.defined()) {
      EXPECT_TRUE(torch::equal(all, torch::tensor({{0.F, 0.F}, {0.F, 0.F}, {2.F, 2.F}})));
    }
  });
}

TEST(World, SharesAreContiguousAndNearlyEven) {
  on_ranks(3, [](const World& world) {
    const Share share = share_of(5, world);
    const auto rank = static_cast<size_t>(world.rank());
    EXPECT_EQ(share.first, (std::array<int64_t, 3>{0, 2, 4})[rank]);
    EXPECT_EQ(share.count, (std::array<int64_t, 3>{2, 2, 1})[rank]);
    EXPECT_EQ(share_of(2, world).count, world.rank() < 2 ? 1 : 0);
  });
  EXPECT_EQ(share_of(5, World()).count, 5);
}

TEST(World, AMistakeOfSomeRanksIsSaidOnce) {
  on_ranks(3, [](const World& world) {
    world.together([] {});
    try {
      world.together([&] {
        if (world.rank() > 0) throw InputError(concat("wrong on ", world.rank()));
      });
      ADD_FAILURE() << "nothing was thrown on " << world.rank();
    } catch (const InputError& mistake) {
      if (world.rank() == 1) {
        EXPECT_STREQ(mistake.what(), "wrong on 1");
      } else {
        EXPECT_TRUE(mistake.mistakes().empty());
      }
    }
  });
}

TEST(World, ARankThatIsGoneOrSilentIsAnError) {
  const auto gone = message_of<Error>([] {
    on_ranks(2, [](const World& world) {
      if (world.is_first()) world.barrier();  // the other one leaves
    });
  });
  EXPECT_THAT(gone, AllOf(HasSubstr("rank 0 of 2 lost another rank, which ended or did not answer"),
                          testing::Not(HasSubstr("\n"))));

  const auto silent = message_of<Error>([] {
    on_ranks(2, [](const World& world) {
      world.set_timeout(0.5);
      if (world.is_first()) world.barrier();
      std::this_thread::sleep_for(std::chrono::seconds(world.is_first() ? 0 : 2));
    });
  });
  EXPECT_THAT(silent, HasSubstr("did not answer within 0.5 s"));
}

TEST(World, RanksThatDoNotComeAreAnError) {
  const auto message =
      message_of<Error>([] { connect(loopback_launch(0, 2, free_port()), torch::kCPU, /*timeout=*/0.5); });
  EXPECT_THAT(message,
              AllOf(HasSubstr("rank 0 did not meet the other 1 at 127.0.0.1:"), HasSubstr("within 0.5 s"),
                    HasSubstr("(rank 1 did not come)"), testing::Not(HasSubstr("\n"))));
}

// What ranks `there` of `size` say of waiting for those that never come.
std::string said_by_waiting(const std::vector<int64_t>& there, int64_t size) {
  const int64_t port = free_port();
  testing::internal::CaptureStderr();
  {
    std::vector<std::jthread> threads;
    for (const int64_t rank : there) {
      threads.emplace_back([=] {
        Launch launch = loopback_launch(rank, size, port);
        launch.told_by = "RANK and WORLD_SIZE";
        const double timeout = rank == 0 ? 2 : 1.5;  // the store lives as long as rank 0 waits
        EXPECT_THROW(connect(launch, torch::kCPU, timeout, /*silence=*/0.5), Error);
      });
    }
  }
  return testing::internal::GetCapturedStderr();
}

TEST(World, OneOfThoseThatWaitSaysForWhomAndNothingElse) {
  const auto line = [](const std::string& who, const std::string& whom, const std::string& seconds) {
    return testing::MatchesRegex(
        concat("[^\n]*warning: ", who, R"(, as RANK and WORLD_SIZE say, waits at 127\.0\.0\.1:[0-9]+ for )",
               whom, ", up to ", seconds, " s; start all, or unset these variables to run alone\n"));
  };
  EXPECT_THAT(said_by_waiting({0, 2}, 4), line("rank 0 of 4", "ranks 1, 3", "2"));
  EXPECT_THAT(said_by_waiting({1}, 2), line("rank 1 of 2", "rank 0", R"(1\.5)"));
}

}  // namespace
}  // namespace cm
