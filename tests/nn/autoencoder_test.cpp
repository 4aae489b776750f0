#include "cm/nn/autoencoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/nn/network.h"
#include "support/closeness.h"
#include "support/message_of.h"
#include "support/small_autoencoder.h"

namespace cm {
namespace {

using test::largest_difference;
using test::message_of;
using test::random_autoencoder;
using test::relative_difference;
using test::small_autoencoder;
using testing::HasSubstr;

TEST(Autoencoder, DefaultsAreStableDiffusions) {
  const AutoencoderOptions options;
  const Autoencoder autoencoder(options);
  EXPECT_EQ(downsampling(options), 8);
  EXPECT_EQ(parameter_count(autoencoder), 83'653'863);
  const auto weights = weights_of(autoencoder);
  EXPECT_EQ(weights.size(), 248);
  EXPECT_EQ(weights.at("decoder.up_blocks.2.resnets.0.conv_shortcut.weight").sizes(),
            torch::IntArrayRef({256, 512, 1, 1}));
  EXPECT_EQ(weights.at("encoder.mid_block.attentions.0.to_out.0.weight").sizes(),
            torch::IntArrayRef({512, 512}));
  for (const auto& [name, weight] : weights) EXPECT_FALSE(weight.requires_grad()) << name;
}

TEST(Autoencoder, SidesShrinkAndGrowByTheFactor) {
  const auto autoencoder = random_autoencoder();
  for (const auto& [height, width] : {std::pair{8, 12}, {2, 2}, {6, 10}, {32, 4}}) {
    const Tensor x = torch::rand({2, 3, height, width});
    const LatentMoments latents = autoencoder->encode(x);
    EXPECT_EQ(latents.mean.sizes(), torch::IntArrayRef({2, 4, height / 2, width / 2}));
    EXPECT_EQ(latents.std.sizes(), latents.mean.sizes());
    EXPECT_EQ(autoencoder->decode(latents.mean).sizes(), x.sizes());
  }
}

// With weights of 0 nothing passes but what the last convolutions add.
TEST(Autoencoder, VariancesAreClamped) {
  const Autoencoder autoencoder(small_autoencoder());
  weights_of(autoencoder).at("quant_conv.bias").copy_(torch::tensor({1, 2, 3, 4, 100, -100, 0, 2}));
  const LatentMoments latents = autoencoder.encode(torch::rand({1, 3, 4, 4}));
  EXPECT_TRUE(torch::equal(latents.mean.amax({0, 2, 3}), torch::tensor({1.F, 2.F, 3.F, 4.F})));
  EXPECT_LT(
      test::elementwise_difference(latents.std.amax({0, 2, 3}), torch::tensor({10., -15., 0., 1.}).exp()),
      1e-6);
}

TEST(Autoencoder, ImagesDecodedOneByOneAreThoseOfTheBatch) {
  const auto autoencoder = random_autoencoder();
  const Tensor z = torch::randn({5, 4, 8, 8});
  const Tensor together = autoencoder->decode(z);
  for (const int64_t images : {1, 2, 7}) {
    autoencoder->limit_decoding({.images = images});
    EXPECT_LT(relative_difference(autoencoder->decode(z), together), 1e-5) << images;
  }
}

TEST(Autoencoder, TilesAreUsedWhereLatentsAreLargerOnly) {
  const auto autoencoder = random_autoencoder();
  const Tensor z = torch::randn({2, 4, 8, 12});
  const Tensor whole = autoencoder->decode(z);
  autoencoder->limit_decoding({.tile = 12});
  EXPECT_TRUE(torch::equal(autoencoder->decode(z), whole));
  autoencoder->limit_decoding({.tile = 8});
  const Tensor tiled = autoencoder->decode(z);
  EXPECT_EQ(tiled.sizes(), whole.sizes());
  EXPECT_GT(largest_difference(tiled, whole), 1e-3);
  autoencoder->limit_decoding({});
  EXPECT_LT(
      relative_difference(tiled.narrow(3, 0, 8), autoencoder->decode(z.narrow(3, 0, 8)).narrow(3, 0, 8)),
      1e-5);
}

TEST(Autoencoder, HalfPrecisionIsNearFp32) {
  const Tensor x = torch::rand({1, 3, 16, 16}) * 2 - 1;
  const auto precise = random_autoencoder();
  const LatentMoments latents = precise->encode(x);
  const Tensor images = precise->decode(latents.mean);
  for (const auto& [type, bound] : {std::pair{ComputeType::bf16, 0.05}, {ComputeType::fp16, 0.01}}) {
    const auto half = random_autoencoder();
    half->compute_in(type);
    const LatentMoments answer = half->encode(x);
    EXPECT_EQ(answer.mean.scalar_type(), torch::kFloat32);
    EXPECT_LT(relative_difference(answer.mean, latents.mean), bound);
    EXPECT_GT(relative_difference(answer.mean, latents.mean), bound / 1000);
    const Tensor decoded = half->decode(latents.mean);
    EXPECT_EQ(decoded.scalar_type(), torch::kFloat32);
    EXPECT_LT(relative_difference(decoded, images), bound);
    EXPECT_GT(relative_difference(decoded, images), bound / 1000);
  }
}

TEST(Autoencoder, OtherShapesAreRefused) {
  const auto autoencoder = random_autoencoder();
  const auto refusal = [](const auto& call) { return message_of<c10::Error>(call); };
  EXPECT_THAT(refusal([&] {
                autoencoder->encode(torch::zeros({1, 3, 7, 8}));
              }),
              HasSubstr("images [B, 3, H, W] with sides in multiples of 2, got [1, 3, 7, 8]"));
  EXPECT_THAT(refusal([&] {
                autoencoder->encode(torch::zeros({1, 1, 8, 8}));
              }),
              HasSubstr("got [1, 1, 8, 8]"));
  EXPECT_THAT(refusal([&] {
                autoencoder->decode(torch::zeros({1, 3, 8, 8}));
              }),
              HasSubstr("latents [B, 4, h, w], got [1, 3, 8, 8]"));
}

TEST(Autoencoder, LimitsAndOptionsThatDoNotFitAreMistakes) {
  const auto autoencoder = random_autoencoder();
  const auto mistake = [](const auto& call) { return message_of<InputError>(call); };
  EXPECT_THAT(mistake([&] { autoencoder->limit_decoding({.images = 0}); }), HasSubstr("at least 1, got 0"));
  for (const int64_t tile : {0, 2, 6}) {
    EXPECT_THAT(mistake([&] { autoencoder->limit_decoding({.tile = tile}); }),
                HasSubstr(concat("must be a multiple of 4 latents, got ", tile)));
  }
  EXPECT_THAT(
      mistake([&] {
        Autoencoder({.block_channels = {32, 40}, .groups = 16});
      }),
      HasSubstr("block_channels must be up to 16384 in multiples of the groups of normalisation (16)"));
  EXPECT_THAT(mistake([&] { Autoencoder({.block_channels = {}}); }), HasSubstr("must name 1 to 12 levels"));
}

}  // namespace
}  // namespace cm
