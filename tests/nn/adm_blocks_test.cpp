#include "cm/nn/adm_blocks.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cm/base/random.h"
#include "support/closeness.h"

namespace cm {
namespace {

using test::largest_difference;

Tensor random(uint64_t seed, const std::vector<int64_t>& shape) {
  return normal({.seed = seed}, {0, 1}, shape);
}

TEST(AdmBlocks, ResamplingAveragesAndRepeats) {
  const Tensor x = torch::tensor({1.0, 2.0, 3.0, 6.0}).view({1, 1, 2, 2});
  EXPECT_TRUE(torch::equal(resample(x, Resample::down), torch::full({1, 1, 1, 1}, 3.0)));
  const Tensor up = resample(x, Resample::up);
  EXPECT_TRUE(torch::equal(up.slice(3, 0, 4, 2), up.slice(3, 1, 4, 2)));
  EXPECT_TRUE(torch::equal(resample(up, Resample::down), x));
  EXPECT_TRUE(resample(x, Resample::none).is_same(x));
}

// The last convolution starts at 0, so that a new network passes its input on.
TEST(AdmBlocks, ANewBlockIsTheIdentity) {
  Initializer initializer(1);
  const BlockInput input{random(2, {128}), std::nullopt};
  const Tensor x = random(1, {32, 4, 4});
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
    const Tensor x = random(1, {64, 4, 4});
    const Tensor with = block->forward(x, {random(2, {16}), std::nullopt});
    EXPECT_GT(largest_difference(with, block->forward(x, {random(3, {16}), std::nullopt})), 1e-4)
        << "scale_shift " << scale_shift;
  }
}

// softmax(qᵀk/√d) v written out, head by head.
TEST(AdmBlocks, AttentionIsSoftmaxOverPositions) {
  constexpr int64_t kChannels = 64;
  constexpr int64_t kHeads = 4;
  constexpr int64_t kWidth = kChannels / kHeads;
  Initializer initializer(1);
  const Attention attention(initializer, kChannels, kHeads);
  const torch::NoGradGuard guard;
  const auto parameters = attention->named_parameters();
  parameters["proj_out.weight"].copy_(torch::eye(kChannels).view({kChannels, kChannels, 1, 1}));
  const Tensor x = random(1, {kChannels, 3, 3});
  const Tensor normalised = torch::group_norm(x, 32);
  const Tensor qkv = torch::conv2d(normalised, parameters["qkv.weight"], parameters["qkv.bias"]).flatten(2);
  std::vector<Tensor> heads;
  for (int64_t head = 0; head < kHeads; ++head) {
    const auto part = [&](int64_t which) { return qkv.narrow(1, which * kChannels + head * kWidth, kWidth); };
    const Tensor scores = part(0).transpose(1, 2).bmm(part(1)) / std::sqrt(static_cast<double>(kWidth));
    heads.push_back(part(2).bmm(scores.softmax(2).transpose(1, 2)));
  }
  const Tensor expected = x + torch::cat(heads, 1).view_as(x);
  EXPECT_LT(largest_difference(attention->forward(x), expected), 1e-5);
}

TEST(AdmBlocks, PlainResamplingCanHaveAConvolution) {
  Initializer initializer(1);
  const Tensor x = random(1, {32, 4, 4});
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
