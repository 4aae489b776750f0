#include "cm/nn/adm_blocks.h"

#include <gtest/gtest.h>

#include "support/closeness.h"
#include "support/random_batch.h"

namespace cm {
namespace {

using test::largest_difference;
using test::random_batch;

// The last convolution starts at 0, so that a new network passes its input on.
TEST(AdmBlocks, ANewBlockIsTheIdentity) {
  Initializer initializer(1);
  const BlockInput input{random_batch(2, {128}), std::nullopt};
  const Tensor x = random_batch(1, {32, 4, 4});
  const ResBlock block(initializer, ResBlockOptions{.in = 32, .out = 32, .embedding_width = 128});
  EXPECT_TRUE(torch::equal(block->forward(x, input), x));
  EXPECT_TRUE(torch::equal(Attention(initializer, 32, 2)->forward(x), x));
  const ResBlock down(
      initializer, ResBlockOptions{.in = 32, .out = 32, .embedding_width = 128, .resample = Resample::down});
  EXPECT_TRUE(torch::equal(down->forward(x, input), resample(x, Resample::down)));
}

TEST(AdmBlocks, TheEmbeddingReachesTheOutputInBothForms) {
  for (const bool scale_shift : {true, false}) {
    Initializer initializer(1);
    const ResBlock block(
        initializer,
        ResBlockOptions{.in = 64, .out = 64, .embedding_width = 16, .scale_shift_norm = scale_shift});
    const torch::NoGradGuard guard;
    block->named_parameters()["out_layers.3.weight"].fill_(0.01);
    const Tensor x = random_batch(1, {64, 4, 4});
    const Tensor with = block->forward(x, {random_batch(2, {16}), std::nullopt});
    EXPECT_GT(largest_difference(with, block->forward(x, {random_batch(3, {16}), std::nullopt})), 1e-4)
        << "scale_shift " << scale_shift;
  }
}

TEST(AdmBlocks, AttentionIsAddedToItsInput) {
  constexpr int64_t kChannels = 64;
  constexpr int64_t kHeads = 4;
  Initializer initializer(1);
  const Attention layer(initializer, kChannels, kHeads);
  const torch::NoGradGuard guard;
  const auto parameters = layer->named_parameters();
  parameters["proj_out.weight"].copy_(torch::eye(kChannels).view({kChannels, kChannels, 1, 1}));
  const Tensor x = random_batch(1, {kChannels, 3, 3});
  const Tensor qkv =
      torch::conv2d(torch::group_norm(x, 32), parameters["qkv.weight"], parameters["qkv.bias"]);
  EXPECT_LT(largest_difference(layer->forward(x), x + attention(qkv, kHeads)), 1e-5);
}

TEST(AdmBlocks, PlainResamplingCanHaveAConvolution) {
  Initializer initializer(1);
  const Tensor x = random_batch(1, {32, 4, 4});
  EXPECT_TRUE(torch::equal(Resampling(initializer, 32, Resample::down, false)->forward(x),
                           resample(x, Resample::down)));
  const Resampling down(initializer, 32, Resample::down, true);
  EXPECT_TRUE(down->named_parameters().contains("op.weight"));
  EXPECT_EQ(down->forward(x).size(3), 2);
  const Resampling up(initializer, 32, Resample::up, true);
  EXPECT_TRUE(up->named_parameters().contains("conv.weight"));
  EXPECT_EQ(up->forward(x).size(3), 8);
}

TEST(AdmBlocks, AStageNumbersItsLayers) {
  Initializer initializer(1);
  Stage stage;
  stage->add_res_block(ResBlock(initializer, ResBlockOptions{.in = 32, .out = 32, .embedding_width = 8}));
  stage->add_attention(Attention(initializer, 32, 1));
  EXPECT_TRUE(stage->named_parameters().contains("0.in_layers.0.weight"));
  EXPECT_TRUE(stage->named_parameters().contains("1.qkv.weight"));
}

}  // namespace
}  // namespace cm
