#include "cm/nn/unet_plan.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "cm/nn/networks.h"
#include "support/small_unet.h"

namespace cm {
namespace {

using testing::AnyOf;
using Kind = UNetStage::Kind;

constexpr ImageSpec kTinyImage{.channels = 1, .size = 8, .classes = 3};

UNetPlan small_plan(const std::string& architecture) {
  return std::visit(
      [](const auto& o) -> UNetPlan {
        if constexpr (requires { plan_of(o, kTinyImage); }) {
          return plan_of(o, kTinyImage);
        } else {
          throw std::logic_error("no U-Net");
        }
      },
      test::of_architecture(architecture));
}

// Channels and sides of a stage are those that the one before leaves behind, with the skip connection's.
TEST(UnetPlan, StagesFollowOneAnother) {
  for (const auto& architecture : test::architectures()) {
    SCOPED_TRACE(architecture);
    int64_t channels = kTinyImage.channels + (architecture == "edm2" ? 1 : 0);  // of ones
    int64_t side = kTinyImage.size;
    std::vector<std::pair<int64_t, int64_t>> open;
    for (const auto& stage : small_plan(architecture).stages) {
      if (stage.closes) {
        EXPECT_EQ(open.back().second, stage.side) << stage.name;
        channels += open.back().first;
        open.pop_back();
      }
      if (stage.kind != Kind::image) {
        EXPECT_EQ(stage.in, channels) << stage.name;
        EXPECT_EQ(stage.side, side) << stage.name;
      }
      channels = stage.out;
      side = stage.out_side();
      if (stage.opens) open.emplace_back(channels, side);
    }
    EXPECT_TRUE(open.empty());
    EXPECT_EQ(side, kTinyImage.size);
  }
}

// Every parameter belongs to one stage, or to the embedding or the output.
TEST(UnetPlan, ItsNamesAreTheNetworks) {
  for (const auto& architecture : test::architectures()) {
    SCOPED_TRACE(architecture);
    const UNetPlan plan = small_plan(architecture);
    std::set<std::string> unused;
    for (const auto& stage : plan.stages) {
      EXPECT_TRUE(unused.insert(stage.name).second) << stage.name;
    }
    unused.insert({plan.output_norm, plan.output_conv, plan.embedding, plan.embedding_end, plan.labels});
    unused.erase("");  // which it has not
    const std::set<std::string> named = unused;
    for (const auto& entry : weights_of(*make_network(test::of_architecture(architecture), kTinyImage))) {
      const std::string& name = entry.first;
      const auto owner =
          std::ranges::find_if(named, [&](const auto& part) { return name.starts_with(part + "."); });
      if (owner == named.end()) {
        EXPECT_THAT(name, AnyOf("map_noise.freqs", "emb_fourier.freqs", "emb_fourier.phases", "out_gain"));
      } else {
        unused.erase(*owner);
      }
    }
    EXPECT_TRUE(unused.empty()) << *unused.begin();
  }
}

}  // namespace
}  // namespace cm
