#include "src/nn/unet_blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "cm/nn/networks.h"
#include "support/closeness.h"
#include "support/operators.h"
#include "support/random_batch.h"

namespace cm {
namespace {

using test::largest;
using test::largest_difference;
using test::random_batch;

template <class Options>
UNetStyle style_of() {
  return plan_of(Options(), ImageSpec()).style;
}

UNetStage block_stage(int64_t in, int64_t out, Resample resample = Resample::none, int64_t heads = 0) {
  return {.section = UNetStage::Section::encoder,
          .kind = UNetStage::Kind::block,
          .in = in,
          .out = out,
          .side = 4,
          .resample = resample,
          .heads = heads,
          .name = "b"};
}

// A block by itself, its parameters named below "b".
struct Lone {
  Lone(const UNetStyle& style, const UNetStage& stage, bool scale_shift = true, int64_t embedding_width = 16)
      : block(root, style, initializer,
              {.stage = stage, .embedding_width = embedding_width, .scale_shift_norm = scale_shift}) {}

  Tensor parameter(const std::string& name) const { return root.named_parameters()["b." + name]; }
  bool has(const std::string& name) const { return root.named_parameters().contains("b." + name); }

  Initializer initializer{1};
  torch::nn::Module root;
  ResidualBlock block;
};

TEST(UnetBlocks, NormsOfTheSongNetworksHaveAtMost32GroupsOfAtLeast4Channels) {
  const UNetStyle song = style_of<DdpmppOptions>();
  EXPECT_EQ(song.groups(32), 8);
  EXPECT_EQ(song.groups(96), 24);
  EXPECT_EQ(song.groups(128), 32);
  EXPECT_EQ(song.groups(512), 32);
  EXPECT_EQ(style_of<AdmOptions>().groups(64), 32);
}

// The last convolution starts at 0, so that a new network passes its input on.
TEST(UnetBlocks, ANewBlockOfAdmIsTheIdentity) {
  const UNetStyle adm = style_of<AdmOptions>();
  const BlockInput input{random_batch(2, {16})};
  const Tensor x = random_batch(1, {32, 4, 4});
  EXPECT_TRUE(torch::equal(Lone(adm, block_stage(32, 32)).block.forward(x, input), x));
  EXPECT_TRUE(torch::equal(Lone(adm, block_stage(32, 32, Resample::down)).block.forward(x, input),
                           resample(x, Resample::down)));
  torch::nn::Module root;
  Initializer initializer(1);
  EXPECT_TRUE(torch::equal(AttentionBlock(root, "a", adm, initializer, 32, 2).forward(x), x));
}

// The branches end with weights of 1e−5: at the start each of the two parts of a block divides by √2.
TEST(UnetBlocks, ANewBlockOfTheSongNetworksScalesItsInput) {
  const BlockInput input{random_batch(2, {16})};
  const Tensor x = random_batch(1, {32, 4, 4});
  for (const int64_t heads : {0, 2}) {
    Lone lone(style_of<DdpmppOptions>(), block_stage(32, 32, Resample::none, heads));
    const Tensor y = lone.block.forward(x, input);
    EXPECT_LT(largest_difference(y, heads > 0 ? x / 2 : x / std::numbers::sqrt2), 1e-3) << heads;
    EXPECT_FALSE(lone.has("skip.weight"));
  }
}

TEST(UnetBlocks, BothWaysAreResampledByTheFilter) {
  const Tensor x = random_batch(1, {32, 4, 4});
  for (const UNetStyle& style : {style_of<DdpmppOptions>(), style_of<NcsnppOptions>()}) {
    for (const auto direction : {Resample::up, Resample::down}) {
      Lone lone(style, block_stage(32, 32, direction));
      const torch::NoGradGuard guard;
      lone.parameter("skip.weight").copy_(torch::eye(32).view({32, 32, 1, 1}));
      const Tensor y = lone.block.forward(x, {random_batch(2, {16})});
      EXPECT_LT(largest_difference(y, resample(x, direction, style.filter) / std::numbers::sqrt2), 1e-3);
    }
  }
}

TEST(UnetBlocks, TheEmbeddingReachesTheOutputInBothForms) {
  for (const UNetStyle& style : {style_of<AdmOptions>(), style_of<DdpmppOptions>()}) {
    for (const bool scale_shift : {true, false}) {
      Lone lone(style, block_stage(64, 64), scale_shift);
      const torch::NoGradGuard guard;
      lone.parameter(std::string(style.names.out_conv) + ".weight").fill_(0.01);
      const Tensor x = random_batch(1, {64, 4, 4});
      const Tensor with = lone.block.forward(x, {random_batch(2, {16})});
      EXPECT_GT(largest_difference(with, lone.block.forward(x, {random_batch(3, {16})})), 1e-4)
          << style.names.out_conv << " scale_shift " << scale_shift;
    }
  }
}

TEST(UnetBlocks, AttentionIsAddedToItsInput) {
  constexpr int64_t kChannels = 64;
  constexpr int64_t kHeads = 4;
  Initializer initializer(1);
  torch::nn::Module root;
  const AttentionBlock layer(root, "a", style_of<AdmOptions>(), initializer, kChannels, kHeads);
  const torch::NoGradGuard guard;
  const auto parameters = root.named_parameters();
  parameters["a.proj_out.weight"].copy_(torch::eye(kChannels).view({kChannels, kChannels, 1, 1}));
  const Tensor x = random_batch(1, {kChannels, 3, 3});
  const Tensor qkv =
      torch::conv2d(torch::group_norm(x, 32), parameters["a.qkv.weight"], parameters["a.qkv.bias"]);
  EXPECT_LT(largest_difference(layer.forward(x), x + attention(qkv, kHeads)), 1e-5);
}

// How many convolutions add a bias while a block goes forward and back. In double, where no kernel of ours
// takes any of it, so that LibTorch's convolve, as on a GPU.
int64_t convolutions_with_bias(const UNetStyle& style, bool scale_shift) {
  Lone lone(style, block_stage(32, 64, Resample::none, /*heads=*/2), scale_shift);
  lone.root.to(torch::kFloat64);
  const Tensor x = random_batch(1, {32, 4, 4}).to(torch::kFloat64).requires_grad_(true);
  const BlockInput input{random_batch(2, {16}).to(torch::kFloat64)};
  int64_t found = 0;
  test::watch_operators(
      [&](const at::RecordFunction& function) {
        if (std::string_view(function.name()) != "aten::convolution") return;
        found += function.inputs()[2].isTensor() && function.inputs()[2].toTensor().defined() ? 1 : 0;
      },
      [&] { lone.block.forward(x, input).sum().backward(); });
  return found;
}

// But for queries, keys and values, to which a product of matrices adds it as it is written.
TEST(UnetBlocks, NoConvolutionAddsItsBiasInAPassOfItsOwn) {
  for (const UNetStyle& style : {style_of<AdmOptions>(), style_of<DdpmppOptions>()}) {
    for (const bool scale_shift : {true, false}) EXPECT_EQ(convolutions_with_bias(style, scale_shift), 1);
  }
}

// Uniform within gain √(6 / ((in + out) kernel²)), and close to that bound; biases 0.
TEST(UnetBlocks, InitialWeightsOfTheSongNetworksFillTheirBounds) {
  Lone lone(style_of<DdpmppOptions>(), block_stage(32, 64, Resample::none, 1), /*scale_shift=*/false, 128);
  const auto expect_bound = [&](const char* name, double bound) {
    EXPECT_LE(largest(lone.parameter(name)), bound * (1 + 1e-6)) << name;
    EXPECT_GT(largest(lone.parameter(name)), 0.99 * bound) << name;
  };
  expect_bound("conv0.weight", std::sqrt(6.0 / (9 * 96)));
  expect_bound("affine.weight", std::sqrt(6.0 / 192));
  expect_bound("conv1.weight", 1e-5 * std::sqrt(6.0 / (9 * 128)));
  expect_bound("skip.weight", std::sqrt(6.0 / 96));
  expect_bound("qkv.weight", std::sqrt(0.2) * std::sqrt(6.0 / 256));
  expect_bound("proj.weight", 1e-5 * std::sqrt(6.0 / 128));
  for (const auto* name : {"conv0", "affine", "conv1", "skip", "qkv", "proj"})
    EXPECT_EQ(largest(lone.parameter(std::string(name) + ".bias")), 0) << name;
}

// A convolution that passes the image on leaves the filter alone; the bias is the same at the border.
TEST(UnetBlocks, TheDownConvolutionFiltersItsOutput) {
  Initializer initializer(1);
  const DownConv2d conv(initializer, 2, 2);
  const torch::NoGradGuard guard;
  conv->weight.zero_();
  for (int64_t channel = 0; channel < 2; ++channel) conv->weight[channel][channel][1][1] = 1;
  conv->bias.fill_(3);
  const Tensor x = random_batch(1, {2, 8, 8});
  const Tensor expected = resample(x, Resample::down, ResampleFilter::binomial) + 3;
  EXPECT_LT(largest_difference(conv->forward(x), expected), 1e-5);
}

}  // namespace
}  // namespace cm
