#include "cm/nn/edm2_unet.h"

#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "cm/nn/magnitude_preserving.h"
#include "cm/nn/networks.h"
#include "support/closeness.h"
#include "support/dropout_keys.h"
#include "support/message_of.h"
#include "support/small_unet.h"

namespace cm {
namespace {

using test::message_of;
using testing::HasSubstr;

constexpr ImageSpec kEdm2Image{.channels = 3, .size = 8, .classes = 5};

Edm2Options small_edm2() {
  return test::small_unet<Edm2Options>();
}

// With gains that let the embedding and the answer through.
std::shared_ptr<Network> edm2_network(const Edm2Options& options) {
  auto network = make_network(options, kEdm2Image, 3);
  const torch::NoGradGuard guard;
  for (auto& parameter : network->named_parameters()) {
    if (parameter.key().ends_with("_gain")) parameter.value().fill_(1);
  }
  return network;
}

Tensor edm2_answer(Network& network, const Tensor& keys = {}) {
  const torch::NoGradGuard guard;
  return network.forward(normal({.seed = 1}, sample_range(0, 4), {3, 8, 8}),
                         {torch::linspace(-1, 1, 4), torch::arange(4)}, keys);
}

TEST(Edm2Unet, WeightsHaveThePublishedNames) {
  const auto weights = weights_of(*make_network(small_edm2(), kEdm2Image));
  for (const auto* name :
       {"out_gain", "emb_fourier.freqs", "emb_fourier.phases", "emb_noise.weight", "emb_label.weight",
        "enc.8x8_conv.weight", "enc.8x8_block0.emb_gain", "enc.8x8_block0.conv_res0.weight",
        "enc.4x4_down.emb_linear.weight", "enc.4x4_block0.conv_skip.weight", "enc.4x4_block0.attn_qkv.weight",
        "dec.4x4_in0.attn_proj.weight", "dec.4x4_in1.conv_res1.weight", "dec.4x4_block0.attn_qkv.weight",
        "dec.4x4_block1.attn_qkv.weight", "dec.8x8_up.conv_res0.weight", "dec.8x8_block1.conv_skip.weight",
        "out_conv.weight"}) {
    EXPECT_TRUE(weights.contains(name)) << name;
  }
  for (const auto& [name, tensor] : weights) EXPECT_FALSE(name.ends_with("bias")) << name;
}

TEST(Edm2Unet, ANewNetworkAnswersZero) {
  EXPECT_EQ(test::largest(edm2_answer(*make_network(small_edm2(), kEdm2Image, 3))), 0);
}

TEST(Edm2Unet, KeepsTheMagnitudeOfItsInput) {
  for (const auto features : {TimeFeatures::fourier, TimeFeatures::positional}) {
    Edm2Options options = small_edm2();
    options.time_features = features;
    const Tensor y = edm2_answer(*edm2_network(options));
    EXPECT_NEAR(y.square().mean().sqrt().item<double>(), 1, 0.2) << to_string(features);
  }
}

// sCM §4.1: the slope of random features grows with their frequencies, 2π N(0, 1); that of positional ones is
// at most 1.
TEST(Edm2Unet, PositionalFeaturesChangeSlowlyWithTime) {
  const auto change = [](TimeFeatures features) {
    Edm2Options options = small_edm2();
    options.time_features = features;
    const auto network = edm2_network(options);
    const torch::NoGradGuard guard;
    const Tensor x = normal({.seed = 1}, sample_range(0, 4), {3, 8, 8});
    const auto answer = [&](double time) {
      return network->forward(x, {torch::full({4}, time), torch::arange(4)});
    };
    return test::largest_difference(answer(0.7), answer(0.69));
  };
  EXPECT_GT(change(TimeFeatures::positional), 0);
  EXPECT_GT(change(TimeFeatures::fourier), 3 * change(TimeFeatures::positional));
}

// All but the gains.
TEST(Edm2Unet, EveryWeightIsForcedToUnitMagnitude) {
  const auto network = make_network(small_edm2(), kEdm2Image, 3);
  int64_t gains = 0;
  for (const auto& parameter : network->parameters()) gains += parameter.dim() == 0 ? 1 : 0;
  EXPECT_EQ(magnitude_preserving_weights(*network).size() + static_cast<size_t>(gains),
            network->parameters().size());
}

TEST(Edm2Unet, ActivationsAreCut) {
  Edm2Options none = small_edm2();
  none.clip.reset();
  Edm2Options low = small_edm2();
  low.clip = 0.5;
  const Tensor whole = edm2_answer(*edm2_network(small_edm2()));
  EXPECT_TRUE(torch::equal(edm2_answer(*edm2_network(none)), whole));
  EXPECT_GT(test::largest_difference(edm2_answer(*edm2_network(low)), whole), 1e-2);
}

// Central differences in double.
TEST(Edm2Unet, WhatIsCutHasNoGradient) {
  Edm2Options low = small_edm2();
  low.clip = 0.5;
  const auto network = edm2_network(low);
  network->to(torch::kFloat64);
  const auto images = [](uint64_t seed) {
    return normal({.seed = seed}, sample_range(0, 4), {3, 8, 8}).to(torch::kFloat64);
  };
  const auto length = [&](const Tensor& x) {
    return network->forward(x, {torch::linspace(-1, 1, 4, torch::kFloat64), torch::arange(4)}).square().sum();
  };
  const Tensor x = images(1).requires_grad_(true);
  const Tensor direction = images(2);
  const Tensor gradient = torch::autograd::grad({length(x)}, {x})[0];
  const torch::NoGradGuard guard;
  constexpr double kStep = 1e-6;
  const Tensor change = length(x + kStep * direction) - length(x - kStep * direction);
  const auto slope = (gradient * direction).sum().item<double>();
  EXPECT_NEAR(change.item<double>() / (2 * kStep) / slope, 1, 1e-5);
}

TEST(Edm2Unet, DropsInSmallBlocksAlone) {
  const auto answer = [](std::optional<int64_t> side) {
    Edm2Options options = small_edm2();
    options.dropout = 0.5;
    options.dropout_side = side;
    return edm2_answer(*edm2_network(options), test::dropout_keys(7, 4));
  };
  const Tensor none = edm2_answer(*edm2_network(small_edm2()));
  EXPECT_TRUE(torch::equal(answer(3), none));
  EXPECT_GT(test::largest_difference(answer(4), none), 1e-2);
  EXPECT_GT(test::largest_difference(answer(4), answer(8)), 1e-2);
  EXPECT_TRUE(torch::equal(answer(8), answer(std::nullopt)));
}

TEST(Edm2Unet, EveryBalanceMatters) {
  const Tensor published = edm2_answer(*edm2_network(small_edm2()));
  for (const auto balance : {&Edm2Options::residual_balance, &Edm2Options::attention_balance,
                             &Edm2Options::label_balance, &Edm2Options::concat_balance}) {
    Edm2Options options = small_edm2();
    options.*balance = 0.8;
    EXPECT_GT(test::largest_difference(edm2_answer(*edm2_network(options)), published), 1e-3);
  }
}

// c = 1 + gain · linear(embedding) points where linear(embedding) does, however large the gain, and has the
// magnitude 1 that it begins with.
TEST(Edm2Unet, DoubleNormKeepsTheScalesMagnitude) {
  const auto answer = [](bool double_norm, double gain) {
    Edm2Options options = small_edm2();
    options.double_norm = double_norm;
    const auto network = edm2_network(options);
    const torch::NoGradGuard guard;
    for (auto& parameter : network->named_parameters()) {
      if (parameter.key().ends_with("emb_gain")) parameter.value().fill_(gain);
    }
    return edm2_answer(*network);
  };
  EXPECT_LT(test::relative_difference(answer(true, 0), answer(false, 0)), 1e-3);
  EXPECT_LT(test::relative_difference(answer(true, 1e5), answer(true, 1e4)), 1e-3);
  EXPECT_GT(test::relative_difference(answer(false, 1e5), answer(false, 1e4)), 0.1);
  EXPECT_GT(test::relative_difference(answer(true, 1), answer(true, 0)), 0.01);
}

TEST(Edm2Unet, WhatItHasNotIsAMistake) {
  Edm2Options shifted = small_edm2();
  shifted.scale_shift_norm = true;
  EXPECT_THAT(
      message_of<InputError>([&] { make_network(shifted, kEdm2Image); }),
      HasSubstr("scale_shift_norm must be null: architecture edm2 has no normalisation to condition"));
  Edm2Options odd = small_edm2();
  odd.channels = 33;
  odd.head_channels = 11;
  odd.time_features = TimeFeatures::positional;
  EXPECT_THAT(
      message_of<InputError>([&] { make_network(odd, kEdm2Image); }),
      HasSubstr("time_features positional come in pairs of at least two: the first level must have an "
                "even number of channels, at least 4, got 33"));
  Edm2Options heads = small_edm2();
  heads.head_channels = 48;
  EXPECT_THAT(message_of<InputError>([&] { make_network(heads, kEdm2Image); }),
              HasSubstr("head_channels must divide the channels of every level (32 at level 0), got 48"));
}

}  // namespace
}  // namespace cm
