#include "src/training/diffusers_dit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/diffusion/ddpm_levels.h"
#include "cm/io/file_digest.h"
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

Json dit_config() {
  return {{"_class_name", "DiTTransformer2DModel"},
          {"num_attention_heads", 2},
          {"attention_head_dim", 8},
          {"in_channels", 4},
          {"out_channels", 8},
          {"num_layers", 3},
          {"sample_size", 16},
          {"num_embeds_ada_norm", 7}};
}

Json ddim_config() {
  return {{"_class_name", "DDIMScheduler"}, {"clip_sample", false}};
}

// A pipeline's folder, with a VAE whose weights are no more than a file.
DiffusersConfigs write_dit_pipeline(const fs::path& folder, const Json& network, const Json& scheduler) {
  const auto write = [&](const fs::path& path, const std::string& text) {
    fs::create_directories((folder / path).parent_path());
    write_file_atomically(folder / path, text);
  };
  write("model_index.json", R"({"_class_name": "DiTPipeline"})");
  write("transformer/config.json", network.dump());
  write("scheduler/scheduler_config.json", scheduler.dump());
  write("vae/config.json", R"({"_class_name": "AutoencoderKL", "scaling_factor": 0.25})");
  write("vae/diffusion_pytorch_model.safetensors", "weights");
  return diffusers_configs(folder / "transformer" / "diffusion_pytorch_model.safetensors");
}

TEST(DiffusersDit, TheConfigsGiveTheModel) {
  const TemporaryFolder folder;
  const DiffusersConfigs configs = write_dit_pipeline(folder / "p", dit_config(), ddim_config());
  const ModelOptions options = read_dit_pipeline(configs);
  const auto& network = std::get<DitOptions>(options.network);
  EXPECT_EQ(network.width, 16);
  EXPECT_EQ(network.heads, 2);
  EXPECT_EQ(network.depth, 3);
  EXPECT_EQ(network.patch, 2);
  EXPECT_EQ(network.mlp_ratio, 4);
  EXPECT_TRUE(network.learned_variance);
  EXPECT_TRUE(network.diffusers);
  EXPECT_EQ(options.image.channels, 4);
  EXPECT_EQ(options.image.size, 16);
  EXPECT_EQ(options.image.classes, 7);
  EXPECT_EQ(options.parameterization, Parameterization::vp_diffusion);
  EXPECT_EQ(options.sigma.max, ddpm_sigma().max);
  EXPECT_EQ(options.label_dropout, 0.1);
  EXPECT_EQ(options.latents->scale, 0.25);
  EXPECT_EQ(options.latents->pixels, PixelRange::symmetric);
  EXPECT_TRUE(options.latents->mean.empty());
  EXPECT_EQ(options.latents->vae_hash, sha256_of(configs.vae / "diffusion_pytorch_model.safetensors"));
}

// That of DiT-XL/2 at 256 × 256.
TEST(DiffusersDit, WhatAConfigLeavesOutHasDiffusersDefault) {
  const TemporaryFolder folder;
  const ModelOptions options = read_dit_pipeline(
      write_dit_pipeline(folder / "p", {{"_class_name", "DiTTransformer2DModel"}}, ddim_config()));
  const auto& network = std::get<DitOptions>(options.network);
  EXPECT_EQ(network.width, 1152);
  EXPECT_EQ(network.depth, 28);
  EXPECT_EQ(network.heads, 16);
  EXPECT_FALSE(network.learned_variance);
  EXPECT_EQ(options.image.size, 32);
  EXPECT_EQ(options.image.classes, 1000);
}

TEST(DiffusersDit, WhatComputesSomethingElseIsAMistake) {
  const TemporaryFolder folder;
  const auto refusal = [&](const Json& network_changes, const Json& scheduler_changes) {
    Json network = dit_config();
    network.update(network_changes);
    Json scheduler = ddim_config();
    scheduler.update(scheduler_changes);
    const DiffusersConfigs configs = write_dit_pipeline(folder / "p", network, scheduler);
    return message_of<InputError>([&] { read_dit_pipeline(configs); });
  };
  const Json same = Json::object();
  EXPECT_THAT(refusal({{"norm_eps", 1e-6}}, same), HasSubstr("norm_eps must be 1e-05, got 1e-06"));
  EXPECT_THAT(refusal({{"upcast_attention", true}}, same), HasSubstr("upcast_attention must be false"));
  EXPECT_THAT(refusal({{"other", 1}}, same), HasSubstr("transformer/config.json: other is not known here"));
  EXPECT_THAT(refusal({{"cross_attention_dim", nullptr}}, same), HasSubstr("is not known here"));
  EXPECT_THAT(refusal({{"out_channels", 6}}, same), HasSubstr("out_channels must be in_channels, 4, or"));
  EXPECT_THAT(refusal({{"num_attention_heads", 1 << 20}}, same), HasSubstr("must be at most 16384"));
  EXPECT_THAT(refusal({{"num_attention_heads", 1 << 14}, {"attention_head_dim", 1 << 14}}, same),
              HasSubstr("attention_head_dim times num_attention_heads must be at most 16384"));
  EXPECT_THAT(refusal({{"attention_head_dim", 5}}, same), HasSubstr("attention_head_dim gives no transfo"));
  EXPECT_THAT(refusal({{"_class_name", "Transformer2DModel"}}, same),
              HasSubstr(R"(norm_type must be "ada_norm_zero", got null)"));
  for (const auto& [key, value] : std::map<std::string, Json>{{"beta_start", 0.001},
                                                              {"beta_end", 0.03},
                                                              {"num_train_timesteps", 100},
                                                              {"trained_betas", {0.1}},
                                                              {"prediction_type", "sample"},
                                                              {"rescale_betas_zero_snr", true},
                                                              {"steps_offset", 1},
                                                              {"set_alpha_to_one", false},
                                                              {"timestep_spacing", "trailing"}}) {
    EXPECT_THAT(refusal(same, {{key, value}}), HasSubstr("scheduler_config.json: " + key + " must be "))
        << key;
  }
  EXPECT_THAT(refusal(same, {{"clip_sample", true}}), HasSubstr("clip_sample must be false, got true"));
  EXPECT_THAT(refusal(same, {{"_class_name", "PNDMScheduler"}}), HasSubstr(R"(must be "DDIMScheduler" or)"));
}

// The walk of another scheduler is not ours, but the levels that it walks are.
TEST(DiffusersDit, OfDpmSolverTheLevelsMatter) {
  const TemporaryFolder folder;
  const Json dpm = {{"_class_name", "DPMSolverMultistepScheduler"}, {"timestep_spacing", "linspace"}};
  EXPECT_EQ(read_dit_pipeline(write_dit_pipeline(folder / "p", dit_config(), dpm)).sigma.max,
            ddpm_sigma().max);
  // Written by Python.
  write_file_atomically(folder / "p" / "scheduler" / "scheduler_config.json",
                        R"({"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity})");
  const fs::path weights = folder / "p" / "transformer" / "diffusion_pytorch_model.safetensors";
  EXPECT_EQ(read_dit_pipeline(diffusers_configs(weights)).sigma.max, ddpm_sigma().max);
}

TEST(DiffusersDit, TensorsAreRenamedAndJoined) {
  const std::string block = "transformer_blocks.0.";
  const std::string table = "norm1.emb.class_embedder.embedding_table.weight";
  const Tensor q = torch::full({2, 2}, 1.0);
  NamedTensors theirs = {{"pos_embed.proj.weight", torch::ones({2, 4, 2, 2})},
                         {"pos_embed.pos_embed", torch::ones({1, 4, 2})},
                         {block + "attn1.to_q.weight", q},
                         {block + "attn1.to_k.weight", 2 * q},
                         {block + "attn1.to_v.weight", 3 * q},
                         {block + "ff.net.2.bias", torch::ones({2})},
                         {block + table, torch::ones({3, 2})},
                         {"transformer_blocks.1." + table, torch::ones({3, 2})},
                         {"stranger", torch::ones({1})}};
  DitOptions network;
  network.depth = 2;
  const NamedTensors renamed = from_diffusers(theirs, network, "file");
  EXPECT_THAT(renamed,
              ElementsAre(Key("blocks.0.attn.qkv.weight"), Key("blocks.0.mlp.fc2.bias"), Key("stranger"),
                          Key("x_embedder.proj.weight"), Key("y_embedder.embedding_table.weight")));
  const Tensor rows = torch::tensor({1.0, 1.0, 2.0, 2.0, 3.0, 3.0}).view({6, 1}).expand({6, 2});
  EXPECT_TRUE(torch::equal(renamed.at("blocks.0.attn.qkv.weight"), rows));

  theirs["transformer_blocks.1." + table] = torch::zeros({3, 2});
  EXPECT_THAT(
      message_of<InputError>([&] { from_diffusers(theirs, network, "file"); }),
      HasSubstr("file: transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight is another "
                "than transformer_blocks.0."));
}

}  // namespace
}  // namespace cm
