#include "src/training/diffusers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/io/json.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

using test::message_of;
using test::TemporaryFolder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Key;

Json unet_config() {
  return {{"_class_name", "UNet2DModel"},
          {"sample_size", 16},
          {"block_out_channels", {32, 64}},
          {"down_block_types", {"ResnetDownsampleBlock2D", "AttnDownBlock2D"}},
          {"downsample_type", "resnet"},
          {"layers_per_block", 1},
          {"resnet_time_scale_shift", "scale_shift"},
          {"attention_head_dim", 16},
          {"num_class_embeds", 7}};
}

// A pipeline's folder; returns where its weights would be.
fs::path write_pipeline(const fs::path& folder, const Json& unet, const Json& scheduler = Json()) {
  fs::create_directories(folder / "unet");
  write_file_atomically(folder / "unet" / "config.json", unet.dump());
  if (!scheduler.is_null()) {
    fs::create_directories(folder / "scheduler");
    write_file_atomically(folder / "scheduler" / "scheduler_config.json", scheduler.dump());
  }
  return folder / "unet" / "diffusion_pytorch_model.safetensors";
}

TEST(Diffusers, TheConfigsGiveTheNetworkAndTheNoiseLevels) {
  const TemporaryFolder folder;
  const fs::path weights =
      write_pipeline(folder / "p", unet_config(), {{"num_train_timesteps", 201}, {"sigma_max", 50}});
  const ModelOptions options = read_diffusers_options(weights);
  EXPECT_EQ(options.parameterization, Parameterization::skip);
  const auto& network = std::get<AdmOptions>(options.network);
  EXPECT_EQ(network.channels, 32);
  EXPECT_THAT(network.channel_mult, ElementsAre(1, 2));
  EXPECT_THAT(network.attention_resolutions, ElementsAre(8));
  EXPECT_EQ(network.head_channels, 16);
  EXPECT_TRUE(network.resblock_updown);
  EXPECT_EQ(network.scale_shift_norm, true);
  EXPECT_EQ(options.image.size, 16);
  EXPECT_EQ(options.image.classes, 7);
  EXPECT_EQ(options.sampling.grid, 201);
  EXPECT_EQ(options.sigma.max, 50);
  EXPECT_EQ(options.sigma.min, 0.002);
}

// diffusers leaves out nothing when it saves, but a config written by hand may: then its defaults hold.
TEST(Diffusers, WhatAConfigLeavesOutHasDiffusersDefault) {
  const TemporaryFolder folder;
  const fs::path weights =
      write_pipeline(folder / "p", {{"_class_name", "UNet2DModel"}, {"sample_size", 64}});
  const ModelOptions options = read_diffusers_options(weights);
  const auto& network = std::get<AdmOptions>(options.network);
  EXPECT_EQ(network.channels, 224);
  EXPECT_THAT(network.channel_mult, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(network.attention_resolutions, ElementsAre(32, 16, 8));
  EXPECT_EQ(network.head_channels, 8);
  EXPECT_FALSE(network.resblock_updown);
  EXPECT_EQ(network.scale_shift_norm, false);
  EXPECT_EQ(options.image.classes, 0);
}

TEST(Diffusers, ASizeMayBeAPair) {
  const TemporaryFolder folder;
  Json config = unet_config();
  config["sample_size"] = {16, 16};
  EXPECT_EQ(read_diffusers_options(write_pipeline(folder / "p", config)).image.size, 16);
}

TEST(Diffusers, WhatOurNetworkCannotDoIsAMistake) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& key, const Json& value) {
    Json config = unet_config();
    config[key] = value;
    const fs::path weights = write_pipeline(folder / "p", config);
    return message_of<InputError>([&] { read_diffusers_options(weights); });
  };
  EXPECT_THAT(refusal("norm_num_groups", 16),
              HasSubstr("unet/config.json: norm_num_groups must be 32, got 16"));
  EXPECT_THAT(refusal("sample_size", Json({16, 8})),
              HasSubstr("sample_size must be a positive whole number"));
  EXPECT_THAT(refusal("out_channels", 6), HasSubstr("out_channels must equal in_channels, got 6"));
  EXPECT_THAT(refusal("resnet_time_scale_shift", "ada_group"), HasSubstr("resnet_time_scale_shift must be"));
  EXPECT_THAT(refusal("downsample_type", "other"),
              HasSubstr(R"(downsample_type must be "resnet" or "conv")"));
  EXPECT_THAT(refusal("block_out_channels", "wide"), HasSubstr("block_out_channels has the wrong type"));
  EXPECT_THAT(refusal("_class_name", "UNet1DModel"), HasSubstr(R"(_class_name must be "UNet2DModel")"));
}

TEST(Diffusers, ADiffusionModelsConstantsAreNotRead) {
  const TemporaryFolder folder;
  const fs::path weights =
      write_pipeline(folder / "p", unet_config(), {{"_class_name", "DDPMScheduler"}, {"sigma_max", 50}});
  EXPECT_THAT(message_of<InputError>([&] { read_diffusers_options(weights); }),
              HasSubstr("holds a model (DDPMScheduler)"));
}

TEST(Diffusers, MixedResamplingIsAMistake) {
  const TemporaryFolder folder;
  Json config = unet_config();
  config["block_out_channels"] = {32, 32, 32};
  config["down_block_types"] = {"DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"};
  const fs::path weights = write_pipeline(folder / "p", config);
  EXPECT_THAT(message_of<InputError>([&] { read_diffusers_options(weights); }),
              HasSubstr("down_block_types must change the resolution in one way at all levels"));
}

TEST(Diffusers, TensorsAreRenamedAndJoined) {
  AdmOptions network;
  network.channel_mult = {1, 2};
  network.res_blocks = 1;
  network.attention_resolutions = {16, 8};
  const Tensor q = torch::full({2, 2}, 1.0);
  const NamedTensors renamed =
      from_diffusers({{"down_blocks.1.resnets.0.conv1.weight", torch::ones({2, 2, 3, 3})},
                      {"up_blocks.0.attentions.1.to_q.weight", q},
                      {"up_blocks.0.attentions.1.to_k.weight", 2 * q},
                      {"up_blocks.0.attentions.1.to_v.weight", 3 * q},
                      {"up_blocks.0.upsamplers.0.conv2.bias", torch::ones({2})},
                      {"stranger", torch::ones({1})}},
                     network, {.size = 16});
  EXPECT_THAT(renamed,
              ElementsAre(Key("input_blocks.3.0.in_layers.2.weight"), Key("output_blocks.1.1.qkv.weight"),
                          Key("output_blocks.1.2.out_layers.3.bias"), Key("stranger")));
  const Tensor expected =
      torch::tensor({1.0, 1.0, 2.0, 2.0, 3.0, 3.0}).view({6, 1, 1, 1}).expand({6, 2, 1, 1});
  EXPECT_TRUE(torch::equal(renamed.at("output_blocks.1.1.qkv.weight"), expected));
}

}  // namespace
}  // namespace cm
