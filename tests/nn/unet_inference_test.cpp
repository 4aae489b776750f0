#include "cm/nn/unet_inference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/io/json.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::message_of;
using testing::HasSubstr;

struct Case {
  UNetOptions network;
  ImageSpec image;
};

UNetOptions network(std::vector<double> channel_mult, int64_t res_blocks, std::vector<int64_t> attention) {
  UNetOptions options;
  options.channels = 32;
  options.channel_mult = std::move(channel_mult);
  options.res_blocks = res_blocks;
  options.attention_resolutions = std::move(attention);
  options.scale_shift_norm = true;
  return options;
}

std::vector<Case> adm_cases() {
  std::vector<Case> cases = {{network({1, 2}, 1, {8}), {.channels = 3, .size = 16, .classes = 7}},
                             {network({1, 1, 1, 2}, 3, {16, 4}), {.channels = 1, .size = 16, .classes = 0}},
                             {network({2, 1, 3}, 2, {}), {.channels = 3, .size = 8, .classes = 0}},
                             {network({1}, 2, {8}), {.channels = 3, .size = 8, .classes = 2}}};
  Case added = cases[1];
  added.network.scale_shift_norm = false;
  Case convolutional = cases[0];
  convolutional.network.resblock_updown = false;
  Case plain = cases[1];
  plain.network.resblock_updown = false;
  plain.network.conv_resample = false;
  cases.insert(cases.end(), {added, convolutional, plain});
  return cases;
}

std::vector<Case> song_cases() {
  Case ddpmpp{network({1, 2, 2}, 2, {8}), {.channels = 3, .size = 16, .classes = 0}};
  ddpmpp.network.architecture = Architecture::ddpmpp;
  ddpmpp.network.scale_shift_norm = false;
  Case ncsnpp{network({2, 1}, 1, {16, 8}), {.channels = 1, .size = 16, .classes = 5}};
  ncsnpp.network.architecture = Architecture::ncsnpp;
  return {ddpmpp, ncsnpp};
}

void expect_inferred(const Case& expected) {
  const auto made = make_unet(expected.network, expected.image);
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

TEST(UnetInference, NamesAndShapesAreEnough) {
  const Case expected = adm_cases().front();
  std::map<std::string, Tensor> shapes;
  for (const auto& [name, tensor] : weights_of(*make_unet(expected.network, expected.image))) {
    shapes[name] = torch::empty(tensor.sizes(), torch::kMeta);
  }
  EXPECT_EQ(infer_network(shapes, 16, "weights").network.channel_mult, expected.network.channel_mult);
}

TEST(UnetInference, WeightsOfNoNetworkAreMistakes) {
  const auto refusal = [](const std::map<std::string, Tensor>& weights) {
    return message_of<InputError>([&] { infer_network(weights, 8, "x.safetensors"); });
  };
  EXPECT_THAT(
      refusal({{"fc.weight", torch::ones({2, 2})}}),
      HasSubstr("x.safetensors: weights of no network that is known here: time_embed.0.weight is missing"));
  EXPECT_THAT(refusal({{"time_embed.0.weight", torch::ones({2, 0})}}),
              HasSubstr("time_embed.0.weight is [2, 0]"));
  auto cut = weights_of(*make_unet(adm_cases().front().network, adm_cases().front().image));
  std::erase_if(cut, [](const auto& entry) { return entry.first.starts_with("output_blocks."); });
  EXPECT_THAT(refusal(cut), HasSubstr("output_blocks.0.0.in_layers.0.weight is missing"));
}

}  // namespace
}  // namespace cm
