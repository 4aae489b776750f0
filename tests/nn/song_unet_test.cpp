#include "cm/nn/networks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/base/text.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"
#include "support/message_of.h"
#include "support/small_unet.h"

namespace cm {
namespace {

using test::message_of;
using testing::HasSubstr;

template <class Options>
Options cifar10_network(int64_t res_blocks = 4) {
  Options options;
  options.channels = 128;
  options.channel_mult = {2, 2, 2};
  options.res_blocks = res_blocks;
  options.attention_resolutions = {16};
  return options;
}

template <class Options>
Options small_song() {
  auto options = test::small_unet<Options>();
  options.channel_mult = {1, 1};
  return options;
}

constexpr ImageSpec kDigit{.channels = 1, .size = 8, .classes = 10};

// What EDM's code counts for its CIFAR-10 networks, without the 9 augmentation labels.
TEST(SongUnet, TheCifar10NetworksHaveTheirParameters) {
  const auto count = [](const NetworkOptions& options, int64_t classes) {
    return parameter_count(*make_network(options, {.classes = classes}));
  };
  EXPECT_EQ(count(cifar10_network<DdpmppOptions>(), 0), 55'732'739);
  EXPECT_EQ(count(cifar10_network<DdpmppOptions>(), 10), 55'734'147);
  EXPECT_EQ(count(cifar10_network<NcsnppOptions>(), 0), 56'395'523);
  EXPECT_EQ(count(cifar10_network<NcsnppOptions>(), 10), 56'398'339);
  EXPECT_EQ(count(cifar10_network<NcsnppOptions>(8), 0), 97'610'499);  // iCT-deep
}

TEST(SongUnet, WeightsHaveEdmsNames) {
  const auto network = make_network(small_song<NcsnppOptions>(), kDigit);
  const auto weights = weights_of(*network);
  for (const auto* name :
       {"map_noise.freqs", "map_label.weight", "map_layer0.bias", "map_layer1.weight", "enc.8x8_conv.weight",
        "enc.8x8_block0.norm0.weight", "enc.4x4_down.skip.weight", "enc.4x4_aux_residual.weight",
        "enc.4x4_block0.norm2.bias", "dec.4x4_in0.qkv.weight", "dec.4x4_in1.conv0.weight",
        "dec.4x4_block1.proj.bias", "dec.8x8_up.affine.weight", "dec.8x8_block1.conv1.weight",
        "dec.8x8_aux_norm.weight", "dec.8x8_aux_conv.weight"}) {
    EXPECT_TRUE(weights.contains(name)) << name;
  }
  // Attention follows the last block of an upward level only.
  EXPECT_FALSE(weights.contains("dec.4x4_block0.qkv.weight"));
  EXPECT_FALSE(
      weights_of(*make_network(small_song<DdpmppOptions>(), kDigit)).contains("enc.4x4_aux_residual.weight"));
}

TEST(SongUnet, ANewNetworkAnswersNearlyZero) {
  const Tensor x = normal({.seed = 1}, sample_range(0, 4), {1, 8, 8});
  for (const NetworkOptions& options :
       {NetworkOptions(small_song<DdpmppOptions>()), NetworkOptions(small_song<NcsnppOptions>())}) {
    const auto network = make_network(options, kDigit, 3);
    const Tensor y = network->forward(x, {torch::linspace(-1.5, 1.1, 4), torch::arange(4)});
    EXPECT_GT(test::largest(y), 0);
    EXPECT_LT(test::largest(y), 1e-3);
  }
}

TEST(SongUnet, TheFrequenciesAreWeightsButNoParameters) {
  const auto options = small_song<NcsnppOptions>();
  const auto from = make_network(options, kDigit, 3);
  const auto to = make_network(options, kDigit);
  const auto frequencies = [](const Network& network) { return weights_of(network).at("map_noise.freqs"); };
  EXPECT_EQ(frequencies(*from).numel(), 32);
  EXPECT_FALSE(from->named_parameters().contains("map_noise.freqs"));
  EXPECT_EQ(test::largest(frequencies(*to)), 0);
  copy_weights(*from, *to, "start weights");
  EXPECT_TRUE(torch::equal(frequencies(*to), frequencies(*from)));
  auto incomplete = weights_of(*from);
  incomplete.erase("map_noise.freqs");
  EXPECT_THAT(message_of<InputError>([&] { copy_weights(incomplete, *to, "old.safetensors"); }),
              HasSubstr("map_noise.freqs [32] is missing"));
}

TEST(SongUnet, TheFourierScaleDefaultsTo16) {
  auto options = small_song<NcsnppOptions>();
  const Tensor published = weights_of(*make_network(options, kDigit, 3)).at("map_noise.freqs");
  options.fourier_scale = 0.02;
  const Tensor ict = weights_of(*make_network(options, kDigit, 3)).at("map_noise.freqs");
  EXPECT_LT(test::relative_difference(ict * 800, published), 1e-6);
}

TEST(SongUnet, AChannelCountThatTheFirstConvolutionCannotHaveIsAMistake) {
  for (const auto* name : {"ddpmpp", "ncsnpp"}) {
    UNetOptions narrow = small_song<DdpmppOptions>();
    narrow.channels = 16;
    narrow.channel_mult = {2, 2};
    EXPECT_THAT(
        message_of<InputError>([&] { make_network(test::of_architecture(name, narrow), kDigit); }),
        HasSubstr(concat("channels must be a multiple of 32, which the first convolution of architecture ",
                         name, " has, got 16")));
  }
}

}  // namespace
}  // namespace cm
