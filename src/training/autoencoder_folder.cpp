#include "cm/training/autoencoder_folder.h"

#include <algorithm>

#include "cm/base/log.h"
#include "cm/io/file_digest.h"
#include "cm/io/safetensors.h"
#include "cm/nn/network.h"
#include "cm/training/diffusers_folder.h"
#include "diffusers_config.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAutoencoder = "AutoencoderKL";
constexpr const char* kAutoencoderConfig = "config.json";

// The folder with the config: the one that was named, or `vae` in it.
fs::path folder_with_config(const fs::path& named) {
  for (const fs::path& folder : {named, named / "vae"}) {
    if (fs::exists(folder / kAutoencoderConfig)) return folder;
  }
  throw InputError(
      concat(named.string(), ": holds no ", kAutoencoderConfig, fs::exists(named) ? "" : " (no such folder)",
             "; expected the folder of diffusers' ", kAutoencoder, ", or a pipeline's with one in vae"));
}

int64_t whole_number(const DiffusersConfig& config, const std::string& key, int64_t otherwise, int64_t most) {
  const int64_t value = config.positive(key, otherwise);
  if (value > most) config.reject(key, concat("must be at most ", most));
  return value;
}

// One for each level, all of the only type there is.
void require_block_types(const DiffusersConfig& config, const std::string& key, const std::string& needed,
                         size_t levels) {
  const auto types = config.as<std::vector<std::string>>(key, Json({needed}));
  const bool right = types.size() == levels && std::ranges::count(types, needed) == std::ssize(types);
  if (!right)
    config.reject(key, concat("must be ", needed, " for each of the ", levels, " block_out_channels"));
}

// A key that is left out has AutoencoderKL's default.
AutoencoderOptions options_of(const DiffusersConfig& config) {
  config.require("_class_name", nullptr, kAutoencoder);
  config.require_known({"in_channels", "out_channels", "down_block_types", "up_block_types",
                        "block_out_channels", "layers_per_block", "act_fn", "latent_channels",
                        "norm_num_groups", "sample_size", "scaling_factor", "shift_factor", "latents_mean",
                        "latents_std", "force_upcast", "use_quant_conv", "use_post_quant_conv",
                        "mid_block_add_attention"});
  config.require("act_fn", "silu", "silu");
  config.require("latents_mean", nullptr, nullptr);
  config.require("latents_std", nullptr, nullptr);
  AutoencoderOptions options;
  options.channels = whole_number(config, "in_channels", 3, kMostChannels);
  if (config.get("out_channels", 3) != options.channels)
    config.reject("out_channels", "must equal in_channels");
  options.latent_channels = whole_number(config, "latent_channels", 4, kMostChannels);
  options.blocks = whole_number(config, "layers_per_block", 1, kMostBlocks);
  options.groups = whole_number(config, "norm_num_groups", 32, kMostChannels);
  options.block_channels = config.as<std::vector<int64_t>>("block_out_channels", Json({64}));
  options.mid_attention = config.as<bool>("mid_block_add_attention", true);
  options.quant_conv = config.as<bool>("use_quant_conv", true);
  options.post_quant_conv = config.as<bool>("use_post_quant_conv", true);
  options.scaling_factor = config.positive_number("scaling_factor", 0.18215);
  if (!config.get("shift_factor", nullptr).is_null()) {
    options.shift_factor = config.as<double>("shift_factor", nullptr);
  }
  validate(options, [&](const std::string&, const std::string& sentence) {
    config.reject("block_out_channels", sentence);
  });
  const size_t levels = options.block_channels.size();
  require_block_types(config, "down_block_types", "DownEncoderBlock2D", levels);
  require_block_types(config, "up_block_types", "UpDecoderBlock2D", levels);
  return options;
}

// Folders of before 2023 have other names for the linear layers of attention.
NamedTensors with_present_names(const NamedTensors& tensors) {
  constexpr std::array<std::pair<const char*, const char*>, 4> kOld = {
      {{"query", "to_q"}, {"key", "to_k"}, {"value", "to_v"}, {"proj_attn", "to_out.0"}}};
  NamedTensors renamed;
  for (const auto& [name, tensor] : tensors) {
    std::string present = name;
    for (const auto& [old, now] : kOld) {
      const size_t at = name.find(concat(".attentions.0.", old, "."));
      if (at != std::string::npos) present.replace(name.find(old, at), std::string(old).size(), now);
    }
    renamed[present] = tensor;
  }
  return renamed;
}

fs::path whole_weights(const fs::path& folder) {
  const fs::path weights = weights_beside_config(folder);
  if (weights.extension() == ".json") {
    throw InputError(concat(weights.string(),
                            ": an autoencoder's weights are read from one file; save it again ",
                            "with save_pretrained(FOLDER, max_shard_size=\"100GB\")"));
  }
  return weights;
}

ComputeType type_for(const DiffusersConfig& config, const fs::path& folder, ComputeType wanted) {
  if (wanted != ComputeType::fp16 || !config.as<bool>("force_upcast", false)) return wanted;
  log_info(
      concat(folder.string(), ": computes in fp32 in place of fp16, because its config says force_upcast"));
  return ComputeType::fp32;
}

}  // namespace

std::shared_ptr<Autoencoder> load_autoencoder(const fs::path& named, const AutoencoderLoading& loading) {
  const fs::path folder = folder_with_config(named);
  const DiffusersConfig config(folder / kAutoencoderConfig);
  const AutoencoderOptions options = options_of(config);
  const fs::path weights = whole_weights(folder);
  auto autoencoder = std::make_shared<Autoencoder>(options, sha256_of(weights));
  copy_weights(with_present_names(load_safetensors(weights).tensors), *autoencoder, weights.string());
  autoencoder->compute_in(type_for(config, folder, loading.dtype));
  autoencoder->limit_decoding(loading.limits);
  autoencoder->to(loading.device);
  return autoencoder;
}

LatentSpace published_latents(const fs::path& named) {
  const fs::path folder = folder_with_config(named);
  const double scale = options_of(DiffusersConfig(folder / kAutoencoderConfig)).scaling_factor;
  return {{.vae_hash = sha256_of(whole_weights(folder)), .pixels = PixelRange::symmetric}, {.scale = scale}};
}

}  // namespace cm
