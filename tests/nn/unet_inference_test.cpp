#include "src/nn/unet_inference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/io/json.h"
#include "cm/nn/networks.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::message_of;
using testing::HasSubstr;

struct Case {
  NetworkOptions network;
  ImageSpec image;
};

template <class Options = AdmOptions>
Options network(const std::vector<double>& channel_mult, int64_t res_blocks,
                const std::vector<int64_t>& attention) {
  Options options;
  options.channels = 32;
  options.channel_mult = channel_mult;
  options.res_blocks = res_blocks;
  options.attention_resolutions = attention;
  options.scale_shift_norm = true;
  return options;
}

std::vector<Case> adm_cases() {
  const AdmOptions two = network({1, 2}, 1, {8});
  const AdmOptions four = network({1, 1, 1, 2}, 3, {16, 4});
  AdmOptions added = four;
  added.scale_shift_norm = false;
  AdmOptions convolutional = two;
  convolutional.resblock_updown = false;
  AdmOptions two_times = two;
  two_times.second_time = true;
  AdmOptions plain = four;
  plain.resblock_updown = plain.conv_resample = false;
  const ImageSpec colour{.channels = 3, .size = 16, .classes = 7};
  const ImageSpec grey{.channels = 1, .size = 16, .classes = 0};
  return {{two, colour},
          {four, grey},
          {network({2, 1, 3}, 2, {}), {.channels = 3, .size = 8, .classes = 0}},
          {network({1}, 2, {8}), {.channels = 3, .size = 8, .classes = 2}},
          {added, grey},
          {convolutional, colour},
          {two_times, colour},
          {plain, grey}};
}

std::vector<Case> edm2_cases() {
  const auto edm2 = [](const std::vector<double>& channel_mult, int64_t res_blocks,
                       const std::vector<int64_t>& attention) {
    auto options = network<Edm2Options>(channel_mult, res_blocks, attention);
    options.channels = 64;
    options.scale_shift_norm.reset();
    return options;
  };
  auto positional = edm2({1}, 1, {});
  positional.time_features = TimeFeatures::positional;
  auto two_times = edm2({1, 2}, 1, {});
  two_times.second_time = true;
  return {{edm2({1, 2, 3}, 2, {8, 4}), {.channels = 3, .size = 16, .classes = 6}},
          {edm2({1, 1}, 1, {}), {.channels = 1, .size = 8, .classes = 0}},
          {positional, {.channels = 1, .size = 8, .classes = 2}},
          {two_times, {.channels = 1, .size = 8, .classes = 2}}};
}

std::vector<Case> song_cases() {
  auto ddpmpp = network<DdpmppOptions>({1, 2, 2}, 2, {8});
  ddpmpp.scale_shift_norm = false;
  auto two_times = ddpmpp;  // MeanFlow's, but for the filter, which weights do not tell
  two_times.feature_mult = 2;
  two_times.second_time = true;
  return {{two_times, {.channels = 3, .size = 16, .classes = 0}},
          {ddpmpp, {.channels = 3, .size = 16, .classes = 0}},
          {network<NcsnppOptions>({2, 1}, 1, {16, 8}), {.channels = 1, .size = 16, .classes = 5}},
          {network<DdpmppOptions>({1}, 3, {8}), {.channels = 1, .size = 8, .classes = 0}}};
}

void expect_inferred(const Case& expected) {
  const auto made = make_network(expected.network, expected.image);
  const InferredNetwork inferred = infer_network(weights_of(*made), expected.image.size, "weights");
  EXPECT_EQ(json_of(inferred.network), json_of(expected.network));
  EXPECT_EQ(json_of(inferred.image), json_of(expected.image));
}

TEST(UnetInference, AnAdmNetworkIsToldFromItsWeights) {
  for (const auto& expected : adm_cases()) {
    SCOPED_TRACE(json_of(expected.network).dump());
    expect_inferred(expected);
  }
}

TEST(UnetInference, SoIsOneOfEdm) {
  for (const auto& expected : song_cases()) {
    SCOPED_TRACE(json_of(expected.network).dump());
    expect_inferred(expected);
  }
}

TEST(UnetInference, SoIsEdm2s) {
  for (const auto& expected : edm2_cases()) {
    SCOPED_TRACE(json_of(expected.network).dump());
    expect_inferred(expected);
  }
}

// Heads that are as wide as published would leave narrow levels none: they have one.
TEST(UnetInference, AttentionIsToldWhateverTheWidthOfHeads) {
  auto narrow = network<Edm2Options>({1, 2}, 1, {8});
  narrow.scale_shift_norm.reset();
  narrow.head_channels = 16;
  const auto weights = weights_of(*make_network(narrow, {.channels = 3, .size = 8}));
  narrow.head_channels.reset();
  EXPECT_EQ(json_of(infer_network(weights, 8, "weights").network), json_of(NetworkOptions(narrow)));
}

TEST(UnetInference, NamesAndShapesAreEnough) {
  const Case expected = adm_cases().front();
  std::map<std::string, Tensor> shapes;
  for (const auto& [name, tensor] : weights_of(*make_network(expected.network, expected.image))) {
    shapes[name] = torch::empty(tensor.sizes(), torch::kMeta);
  }
  EXPECT_EQ(json_of(infer_network(shapes, 16, "weights").network), json_of(expected.network));
}

TEST(UnetInference, WeightsOfNoNetworkAreMistakes) {
  const auto refusal = [](const std::map<std::string, Tensor>& weights) {
    return message_of<InputError>([&] { infer_network(weights, 8, "x.safetensors"); });
  };
  const auto no_network = HasSubstr(concat("x.safetensors: weights of no network that is known here (",
                                           join(all_names<Alternative<NetworkOptions>>()), ")"));
  EXPECT_THAT(refusal({{"fc.weight", torch::ones({2, 2})}}), no_network);
  EXPECT_THAT(refusal({{"time_embed.0.weight", torch::ones({2, 0})}}), no_network);
  EXPECT_THAT(refusal({{"map_layer0.weight", torch::ones({128, 32})}}), no_network);
  EXPECT_THAT(
      refusal({{"map_layer0.weight", torch::ones({128, 32})}, {"enc.xx_conv.weight", torch::ones({})}}),
      no_network);
}

// So that what they lack can be named.
TEST(UnetInference, IncompleteWeightsAreThoseOfTheNearestNetwork) {
  for (const Case& whole : {adm_cases()[0], adm_cases()[1], song_cases()[1]}) {
    for (const char* part : {"output_blocks.2.", "input_blocks.2.", "middle_block.1.qkv", "dec.8x8_block0"}) {
      auto cut = weights_of(*make_network(whole.network, whole.image));
      std::erase_if(cut, [&](const auto& entry) { return entry.first.starts_with(part); });
      const InferredNetwork inferred = infer_network(cut, whole.image.size, "weights");
      EXPECT_EQ(json_of(inferred.network), json_of(whole.network)) << part;
    }
  }
  const auto least = infer_network({{"time_embed.0.weight", torch::ones({128, 32})}}, 8, "weights");
  EXPECT_EQ(std::get<AdmOptions>(least.network).channels, 32);
}

}  // namespace
}  // namespace cm
