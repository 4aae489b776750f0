#include "cm/training/autoencoder_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/io/file_digest.h"
#include "cm/io/json.h"
#include "cm/io/safetensors.h"
#include "cm/nn/network.h"
#include "support/closeness.h"
#include "support/message_of.h"
#include "support/small_autoencoder.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

using test::message_of;
using test::random_autoencoder;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kVaeWeights = "diffusion_pytorch_model.safetensors";

// That of test::small_autoencoder().
Json vae_config() {
  return {{"_class_name", "AutoencoderKL"},
          {"_diffusers_version", "0.4.2"},
          {"act_fn", "silu"},
          {"block_out_channels", {32, 64}},
          {"down_block_types", {"DownEncoderBlock2D", "DownEncoderBlock2D"}},
          {"in_channels", 3},
          {"latent_channels", 4},
          {"layers_per_block", 1},
          {"norm_num_groups", 16},
          {"out_channels", 3},
          {"sample_size", 32},
          {"up_block_types", {"UpDecoderBlock2D", "UpDecoderBlock2D"}}};
}

void write_vae(const fs::path& folder, const Json& config, const NamedTensors& weights) {
  fs::create_directories(folder);
  write_file_atomically(folder / "config.json", config.dump());
  save_safetensors(folder / kVaeWeights, weights);
}

NamedTensors random_weights() {
  return weights_of(*random_autoencoder());
}

Tensor some_latents() {
  torch::manual_seed(7);
  return torch::randn({2, 4, 6, 8});
}

TEST(AutoencoderFolder, GivesTheAutoencoder) {
  const TemporaryFolder folder;
  Json config = vae_config();
  config["scaling_factor"] = 0.25;
  config["shift_factor"] = -0.5;
  write_vae(folder.path(), config, random_weights());
  const auto loaded = load_autoencoder(folder.path());
  AutoencoderOptions expected = test::small_autoencoder();
  expected.scaling_factor = 0.25;
  expected.shift_factor = -0.5;
  EXPECT_EQ(json_of(loaded->options()), json_of(expected));
  EXPECT_EQ(loaded->hash(), sha256_of(folder / kVaeWeights));
  EXPECT_TRUE(torch::equal(loaded->decode(some_latents()), random_autoencoder()->decode(some_latents())));
  for (const auto& parameter : loaded->parameters()) EXPECT_FALSE(parameter.requires_grad());
}

TEST(AutoencoderFolder, IsFoundInAPipeline) {
  const TemporaryFolder folder;
  write_vae(folder / "vae", vae_config(), random_weights());
  EXPECT_EQ(load_autoencoder(folder.path())->hash(), load_autoencoder(folder / "vae")->hash());
}

TEST(AutoencoderFolder, MayHaveTheAttentionsOldNames) {
  const TemporaryFolder folder;
  NamedTensors old = random_weights();
  for (const char* half : {"encoder", "decoder"}) {
    for (const auto& [now, then] :
         {std::pair{"to_q", "query"}, {"to_k", "key"}, {"to_v", "value"}, {"to_out.0", "proj_attn"}}) {
      for (const char* part : {"weight", "bias"}) {
        const std::string attention = concat(half, ".mid_block.attentions.0.");
        auto entry = old.extract(concat(attention, now, ".", part));
        entry.key() = concat(attention, then, ".", part);
        old.insert(std::move(entry));
      }
    }
  }
  write_vae(folder.path(), vae_config(), old);
  EXPECT_TRUE(torch::equal(load_autoencoder(folder.path())->decode(some_latents()),
                           random_autoencoder()->decode(some_latents())));
}

TEST(AutoencoderFolder, WeightsMayBeHalfPrecisionOrAVariant) {
  const TemporaryFolder folder;
  NamedTensors half = random_weights();
  for (auto& [name, tensor] : half) tensor = tensor.to(torch::kFloat16);
  write_vae(folder.path(), vae_config(), half);
  fs::rename(folder / kVaeWeights, folder / "diffusion_pytorch_model.fp16.safetensors");
  const Tensor images = load_autoencoder(folder.path())->decode(some_latents());
  const Tensor expected = random_autoencoder()->decode(some_latents());
  EXPECT_LT(test::relative_difference(images, expected), 0.01);
  EXPECT_GT(test::relative_difference(images, expected), 1e-6);
}

TEST(AutoencoderFolder, ComputesInTheTypeUnlessFp16WouldOverflow) {
  const TemporaryFolder folder;
  const auto images_in = [&](const Json& force_upcast, ComputeType type) {
    Json config = vae_config();
    config["force_upcast"] = force_upcast;
    write_vae(folder.path(), config, random_weights());
    return load_autoencoder(folder.path(), {.dtype = type})->decode(some_latents());
  };
  const Tensor precise = images_in(false, ComputeType::fp32);
  EXPECT_FALSE(torch::equal(images_in(false, ComputeType::fp16), precise));
  EXPECT_FALSE(torch::equal(images_in(true, ComputeType::bf16), precise));
  EXPECT_TRUE(torch::equal(images_in(true, ComputeType::fp16), precise));
}

TEST(AutoencoderFolder, LimitsReachTheDecoder) {
  const TemporaryFolder folder;
  write_vae(folder.path(), vae_config(), random_weights());
  const auto tiled = load_autoencoder(folder.path(), {.limits = {.tile = 4}});
  EXPECT_FALSE(torch::equal(tiled->decode(some_latents()), random_autoencoder()->decode(some_latents())));
}

struct WrongConfig {
  std::string key;
  Json value;
  std::string sentence;
};

TEST(AutoencoderFolder, ConfigsOfAnotherNetworkAreMistakes) {
  const std::vector<WrongConfig> cases = {
      {"_class_name", "VQModel", R"(_class_name must be "AutoencoderKL", got "VQModel")"},
      {"act_fn", "gelu", R"(act_fn must be "silu", got "gelu")"},
      {"down_block_types",
       {"DownEncoderBlock2D", "AttnDownEncoderBlock2D"},
       "down_block_types must be DownEncoderBlock2D for each of the 2 block_out_channels, got "},
      {"up_block_types", {"UpDecoderBlock2D"}, "up_block_types must be UpDecoderBlock2D for each of the 2"},
      {"block_out_channels",
       {32, 72},
       "block_out_channels must be up to 16384 in multiples of the groups of normalisation (16), got "
       "[32,72]"},
      {"block_out_channels", Json::array(), "block_out_channels must name 1 to 12 levels, got []"},
      {"block_out_channels", "32", "block_out_channels has the wrong type"},
      {"norm_num_groups", 0, "norm_num_groups must be a positive whole number, got 0"},
      {"layers_per_block", 1000, "layers_per_block must be at most 64, got 1000"},
      {"out_channels", 4, "out_channels must equal in_channels, got 4"},
      {"latents_mean", {0.1}, "latents_mean must be null, got [0.1]"},
      {"scaling_factor", -1, "scaling_factor must be a positive number, got -1"},
      {"shift_factor", "a", "shift_factor has the wrong type"},
      {"use_quant_conv", 3, "use_quant_conv has the wrong type"},
      {"laten_channels", 4, "laten_channels is not known here (did you mean latent_channels?), got 4"}};
  const TemporaryFolder folder;
  for (const auto& [key, value, sentence] : cases) {
    Json config = vae_config();
    config[key] = value;
    write_vae(folder.path(), config, {});
    EXPECT_THAT(message_of<InputError>([&] { load_autoencoder(folder.path()); }),
                HasSubstr(concat((folder / "config.json").string(), ": ", sentence)));
  }
}

TEST(AutoencoderFolder, OtherWeightsAreMistakes) {
  const TemporaryFolder folder;
  const auto mistake_of = [&](const NamedTensors& weights) {
    write_vae(folder.path(), vae_config(), weights);
    return message_of<InputError>([&] { load_autoencoder(folder.path()); });
  };
  NamedTensors weights = random_weights();
  const Tensor conv = weights.at("decoder.conv_in.weight");
  weights.erase("decoder.conv_in.weight");
  EXPECT_THAT(mistake_of(weights), AllOf(HasSubstr((folder / kVaeWeights).string()),
                                         HasSubstr("decoder.conv_in.weight [64, 4, 3, 3] is missing")));
  weights["decoder.conv_in.weight"] = conv.narrow(1, 0, 3);
  EXPECT_THAT(mistake_of(weights),
              HasSubstr("decoder.conv_in.weight is [64, 3, 3, 3], the network needs [64, 4, 3, 3]"));
  weights["decoder.conv_in.weight"] = conv;
  weights["loss.logvar"] = torch::zeros({1});
  EXPECT_THAT(mistake_of(weights), HasSubstr("loss.logvar [1] is not in the network"));
}

TEST(AutoencoderFolder, FoldersWithoutOneAreMistakes) {
  const TemporaryFolder folder;
  const auto mistake = [&](const fs::path& named) {
    return message_of<InputError>([&] { load_autoencoder(named); });
  };
  EXPECT_THAT(mistake(folder / "nothing"),
              HasSubstr("nothing: holds no config.json (no such folder); expected the "
                        "folder of diffusers' AutoencoderKL"));
  EXPECT_THAT(mistake(folder.path()), HasSubstr(": holds no config.json; expected"));
  write_file_atomically(folder / "config.json", "[");
  EXPECT_THAT(mistake(folder.path()), HasSubstr("not a JSON object"));
  write_file_atomically(folder / "config.json", vae_config().dump());
  EXPECT_THAT(mistake(folder.path()),
              HasSubstr("has a config.json and no diffusion_pytorch_model.safetensors"));
  write_file_atomically(folder / "diffusion_pytorch_model.bin", "");
  EXPECT_THAT(mistake(folder.path()), HasSubstr("is pickled"));
  write_file_atomically(folder / (std::string(kVaeWeights) + ".index.json"), "{}");
  EXPECT_THAT(mistake(folder.path()), HasSubstr("are read from one file"));
}

}  // namespace
}  // namespace cm
