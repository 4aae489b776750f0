#include "cm/nn/song_unet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "support/closeness.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::message_of;
using testing::HasSubstr;

UNetOptions cifar10_network(Architecture architecture, int64_t res_blocks = 4) {
  UNetOptions options;
  options.architecture = architecture;
  options.channels = 128;
  options.channel_mult = {2, 2, 2};
  options.res_blocks = res_blocks;
  options.attention_resolutions = {16};
  return options;
}

UNetOptions tiny_network(Architecture architecture) {
  UNetOptions options = cifar10_network(architecture, 1);
  options.channels = 32;
  options.channel_mult = {1, 1};
  options.attention_resolutions = {4};
  return options;
}

constexpr ImageSpec kDigit{.channels = 1, .size = 8, .classes = 10};

// What EDM's code counts for its CIFAR-10 networks, without the 9 augmentation labels.
TEST(SongUnet, TheCifar10NetworksHaveTheirParameters) {
  const auto count = [](Architecture architecture, int64_t classes, int64_t res_blocks) {
    return parameter_count(*make_unet(cifar10_network(architecture, res_blocks), {.classes = classes}));
  };
  EXPECT_EQ(count(Architecture::ddpmpp, 0, 4), 55'732'739);
  EXPECT_EQ(count(Architecture::ddpmpp, 10, 4), 55'734'147);
  EXPECT_EQ(count(Architecture::ncsnpp, 0, 4), 56'395'523);
  EXPECT_EQ(count(Architecture::ncsnpp, 10, 4), 56'398'339);
  EXPECT_EQ(count(Architecture::ncsnpp, 0, 8), 97'610'499);  // iCT-deep
}

TEST(SongUnet, WeightsHaveEdmsNames) {
  const auto network = make_unet(tiny_network(Architecture::ncsnpp), kDigit);
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
  EXPECT_FALSE(weights_of(*make_unet(tiny_network(Architecture::ddpmpp), kDigit))
                   .contains("enc.4x4_aux_residual.weight"));
}

TEST(SongUnet, ANewNetworkAnswersNearlyZero) {
  const Tensor x = normal({.seed = 1}, sample_range(0, 4), {1, 8, 8});
  for (const auto architecture : {Architecture::ddpmpp, Architecture::ncsnpp}) {
    const auto network = make_unet(tiny_network(architecture), kDigit, 3);
    const Tensor y = network->forward(x, {torch::linspace(-1.5, 1.1, 4), torch::arange(4)});
    EXPECT_GT(test::largest(y), 0);
    EXPECT_LT(test::largest(y), 1e-3);
  }
}

TEST(SongUnet, TheFrequenciesAreWeightsButNoParameters) {
  const auto options = tiny_network(Architecture::ncsnpp);
  const auto from = make_unet(options, kDigit, 3);
  const auto to = make_unet(options, kDigit);
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
  UNetOptions options = tiny_network(Architecture::ncsnpp);
  const Tensor published = weights_of(*make_unet(options, kDigit, 3)).at("map_noise.freqs");
  options.fourier_scale = 0.02;
  const Tensor ict = weights_of(*make_unet(options, kDigit, 3)).at("map_noise.freqs");
  EXPECT_LT(test::relative_difference(ict * 800, published), 1e-6);
}

TEST(SongUnet, OptionsOfOtherArchitecturesAreMistakes) {
  const auto mistake_of = [](const UNetOptions& options) {
    return message_of<InputError>([&] { make_unet(options, kDigit); });
  };
  UNetOptions scaled = tiny_network(Architecture::ddpmpp);
  scaled.fourier_scale = 16;
  EXPECT_THAT(mistake_of(scaled), HasSubstr("fourier_scale belongs to architecture ncsnpp"));
  UNetOptions plain = tiny_network(Architecture::ncsnpp);
  plain.resblock_updown = false;
  EXPECT_THAT(mistake_of(plain), HasSubstr("resblock_updown must be true for architecture ncsnpp"));
  UNetOptions narrow = tiny_network(Architecture::ncsnpp);
  narrow.channels = 16;
  narrow.channel_mult = {2, 2};
  EXPECT_THAT(mistake_of(narrow), HasSubstr("channels must be a multiple of 32"));
}

}  // namespace
}  // namespace cm
