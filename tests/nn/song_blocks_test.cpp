#include "cm/nn/song_blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "support/closeness.h"
#include "support/random_batch.h"

namespace cm {
namespace {

using test::largest;
using test::largest_difference;
using test::random_batch;

TEST(SongBlocks, NormsHaveAtMost32GroupsOfAtLeast4Channels) {
  EXPECT_EQ(song_norm(32).groups, 8);
  EXPECT_EQ(song_norm(96).groups, 24);
  EXPECT_EQ(song_norm(128).groups, 32);
  EXPECT_EQ(song_norm(512).groups, 32);
}

// The branches end with weights of 1e−5: at the start each of the two parts of a block divides by √2.
TEST(SongBlocks, ANewBlockScalesItsInput) {
  const BlockInput input{random_batch(2, {128}), std::nullopt};
  const Tensor x = random_batch(1, {32, 4, 4});
  for (const int64_t heads : {0, 2}) {
    Initializer initializer(1);
    const SongBlock block(initializer,
                          SongBlockOptions{.in = 32, .out = 32, .embedding_width = 128, .heads = heads});
    const Tensor y = block->forward(x, input);
    EXPECT_LT(largest_difference(y, heads > 0 ? x / 2 : x / std::numbers::sqrt2), 1e-3) << heads;
    EXPECT_EQ(block->named_parameters().contains("skip.weight"), false);
  }
}

TEST(SongBlocks, BothWaysAreResampledByTheFilter) {
  const Tensor x = random_batch(1, {32, 4, 4});
  for (const auto filter : {ResampleFilter::box, ResampleFilter::binomial}) {
    for (const auto direction : {Resample::up, Resample::down}) {
      Initializer initializer(1);
      const SongBlock block(
          initializer,
          SongBlockOptions{
              .in = 32, .out = 32, .embedding_width = 8, .resample = direction, .filter = filter});
      const torch::NoGradGuard guard;
      const auto parameters = block->named_parameters();
      parameters["skip.weight"].copy_(torch::eye(32).view({32, 32, 1, 1}));
      const Tensor y = block->forward(x, {random_batch(2, {8}), std::nullopt});
      EXPECT_LT(largest_difference(y, resample(x, direction, filter) / std::numbers::sqrt2), 1e-3);
    }
  }
}

TEST(SongBlocks, TheEmbeddingReachesTheOutputInBothForms) {
  for (const bool scale_shift : {true, false}) {
    Initializer initializer(1);
    const SongBlock block(
        initializer,
        SongBlockOptions{.in = 32, .out = 32, .embedding_width = 16, .scale_shift_norm = scale_shift});
    const torch::NoGradGuard guard;
    block->named_parameters()["conv1.weight"].fill_(0.01);
    const Tensor x = random_batch(1, {32, 4, 4});
    const Tensor with = block->forward(x, {random_batch(2, {16}), std::nullopt});
    EXPECT_GT(largest_difference(with, block->forward(x, {random_batch(3, {16}), std::nullopt})), 1e-4)
        << "scale_shift " << scale_shift;
  }
}

// Uniform within gain √(6 / ((in + out) kernel²)), and close to that bound; biases 0.
TEST(SongBlocks, InitialWeightsFillTheirBounds) {
  Initializer initializer(1);
  const SongBlock block(initializer,
                        SongBlockOptions{.in = 32, .out = 64, .embedding_width = 128, .heads = 1});
  const auto parameters = block->named_parameters();
  const auto expect_bound = [&](const char* name, double bound) {
    EXPECT_LE(largest(parameters[name]), bound * (1 + 1e-6)) << name;
    EXPECT_GT(largest(parameters[name]), 0.99 * bound) << name;
  };
  expect_bound("conv0.weight", std::sqrt(6.0 / (9 * 96)));
  expect_bound("affine.weight", std::sqrt(6.0 / 192));
  expect_bound("conv1.weight", 1e-5 * std::sqrt(6.0 / (9 * 128)));
  expect_bound("skip.weight", std::sqrt(6.0 / 96));
  expect_bound("qkv.weight", std::sqrt(0.2) * std::sqrt(6.0 / 256));
  expect_bound("proj.weight", 1e-5 * std::sqrt(6.0 / 128));
  for (const auto* name : {"conv0", "affine", "conv1", "skip", "qkv", "proj"})
    EXPECT_EQ(largest(parameters[std::string(name) + ".bias"]), 0) << name;
}

// A convolution that passes the image on leaves the filter alone; the bias is the same at the border.
TEST(SongBlocks, TheDownConvolutionFiltersItsOutput) {
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

TEST(SongBlocks, PositionalFeaturesEndAtOneTenThousandth) {
  Initializer initializer(1);
  const NoiseFeatures features(initializer, 6, std::nullopt);
  EXPECT_EQ(features->buffers().size(), 0U);
  const auto row = [](double c) {
    return torch::tensor({std::sin(c), std::sin(c / 100), std::sin(c / 1e4), std::cos(c), std::cos(c / 100),
                          std::cos(c / 1e4)});
  };
  EXPECT_LT(largest_difference(features->forward(torch::tensor({-1.5, 0.0, 1.1})),
                               torch::stack({row(-1.5), row(0), row(1.1)})),
            1e-6);
}

TEST(SongBlocks, FourierFeaturesAreOfTheirBuffersFrequencies) {
  Initializer initializer(1);
  const NoiseFeatures features(initializer, 4, 16.0);
  features->named_buffers()["freqs"].copy_(torch::tensor({0.25, -1.0}));
  const double pi = std::numbers::pi;
  const auto row = [&](double c) {
    return torch::tensor(
        {std::sin(pi / 2 * c), std::sin(-2 * pi * c), std::cos(pi / 2 * c), std::cos(-2 * pi * c)});
  };
  EXPECT_LT(
      largest_difference(features->forward(torch::tensor({0.7, -1.2})), torch::stack({row(0.7), row(-1.2)})),
      1e-5);
}

TEST(SongBlocks, FrequenciesAreNormalTimesTheirScale) {
  const auto frequencies = [](double scale) {
    Initializer initializer(3);
    return NoiseFeatures(initializer, 20'000, scale)->named_buffers()["freqs"];
  };
  EXPECT_NEAR(frequencies(16).std().item<double>(), 16, 5 * 16 / std::sqrt(20'000.0));
  EXPECT_LT(largest_difference(frequencies(16) / 800, frequencies(0.02)), 1e-6);
}

}  // namespace
}  // namespace cm
