#include "diffusers_dit.h"

#include "cm/diffusion/ddpm_levels.h"
#include "cm/training/autoencoder_folder.h"
#include "diffusers_config.h"
#include "tensor_renaming.h"

namespace cm {
namespace {

constexpr const char* kLegacyTransformer = "Transformer2DModel";
constexpr const char* kDdim = "DDIMScheduler";
constexpr const char* kDpmSolver = "DPMSolverMultistepScheduler";

// diffusers' table of labels has a row for the null class, which DiT's training hides one class in ten
// behind.
constexpr double kDitLabelDropout = 0.1;

// --- Configs ---------------------------------------------------------------------------------------------

// What computes something else than DiT. Transformer2DModel, of which DiT was a case, has more such keys.
void require_dit(const DiffusersConfig& config) {
  const bool legacy = config.get("_class_name", nullptr) == kLegacyTransformer;
  std::vector<std::string> known = {"num_attention_heads",
                                    "attention_head_dim",
                                    "in_channels",
                                    "out_channels",
                                    "num_layers",
                                    "dropout",
                                    "norm_num_groups",
                                    "attention_bias",
                                    "sample_size",
                                    "patch_size",
                                    "activation_fn",
                                    "num_embeds_ada_norm",
                                    "upcast_attention",
                                    "norm_type",
                                    "norm_elementwise_affine",
                                    "norm_eps"};
  config.require("norm_type", legacy ? "layer_norm" : "ada_norm_zero", "ada_norm_zero");
  config.require("activation_fn", "gelu-approximate", "gelu-approximate");
  config.require("attention_bias", true, true);
  config.require("norm_elementwise_affine", false, false);
  config.require("norm_eps", 1e-5, 1e-5);
  config.require("dropout", 0.0, 0.0);
  config.require("upcast_attention", false, false);
  if (legacy) {
    for (const char* key : {"cross_attention_dim", "num_vector_embeds", "caption_channels",
                            "interpolation_scale", "use_additional_conditions"}) {
      config.require(key, nullptr, nullptr);
      known.emplace_back(key);
    }
    for (const char* key : {"use_linear_projection", "only_cross_attention", "double_self_attention"}) {
      config.require(key, false, false);
      known.emplace_back(key);
    }
    config.require("attention_type", "default", "default");
    known.emplace_back("attention_type");
  }
  config.require_known(known);
}

int64_t number_up_to(const DiffusersConfig& config, const std::string& key, int64_t otherwise, int64_t most) {
  const int64_t value = config.positive(key, otherwise);
  if (value > most) config.reject(key, concat("must be at most ", most));
  return value;
}

void read_transformer(const DiffusersConfig& config, ModelOptions& options) {
  require_dit(config);
  options.image = {.channels = number_up_to(config, "in_channels", 4, kMostChannels),
                   .size = number_up_to(config, "sample_size", 32, kLargestSide),
                   .classes = number_up_to(config, "num_embeds_ada_norm", 1000, kMostClasses)};
  DitOptions network;
  network.diffusers = true;
  network.heads = number_up_to(config, "num_attention_heads", 16, kMostChannels);
  network.width = network.heads * number_up_to(config, "attention_head_dim", 72, kMostChannels);
  if (network.width > kMostChannels)
    config.reject("attention_head_dim", concat("times num_attention_heads must be at most ", kMostChannels));
  network.depth = number_up_to(config, "num_layers", 28, kMostBlocks);
  network.patch = number_up_to(config, "patch_size", 2, kLargestSide);
  const int64_t channels = options.image.channels;
  const Json answer = config.get("out_channels", nullptr);
  if (!answer.is_null() && answer != channels && answer != 2 * channels) {
    config.reject("out_channels",
                  concat("must be in_channels, ", channels, ", or twice that (a learned variance)"));
  }
  network.learned_variance = answer == 2 * channels;
  validate(network, [&](const std::string&, const std::string& sentence) {
    config.reject("attention_head_dim", concat("gives no transformer (", sentence, ")"));
  });
  validate_for(network, options.image, [&](const std::string&, const std::string& sentence) {
    config.reject("patch_size", sentence);
  });
  options.network = network;
}

// DDPM's levels and its noise; of DDIM also the walk, which is ours.
void require_ddpm(const DiffusersConfig& config) {
  const std::string name = config.as<std::string>("_class_name", "");
  if (name != kDdim && name != kDpmSolver)
    config.reject("_class_name", concat("must be \"", kDdim, "\" or \"", kDpmSolver, '"'));
  config.require("num_train_timesteps", kDdpmTimes, kDdpmTimes);
  config.require("beta_start", kDdpmFirstBeta, kDdpmFirstBeta);
  config.require("beta_end", kDdpmLastBeta, kDdpmLastBeta);
  config.require("beta_schedule", "linear", "linear");
  config.require("trained_betas", nullptr, nullptr);
  config.require("prediction_type", "epsilon", "epsilon");
  config.require("thresholding", false, false);
  config.require("rescale_betas_zero_snr", false, false);
  if (name != kDdim) return;
  config.require("clip_sample", true, false);
  config.require("set_alpha_to_one", true, true);
  config.require("steps_offset", 0, 0);
  config.require("timestep_spacing", "leading", "leading");
}

// --- Names -----------------------------------------------------------------------------------------------

// Takes one of what every block has, as it is in the first.
class DitRenaming : public TensorRenaming {
 public:
  DitRenaming(NamedTensors theirs, std::string what)
      : TensorRenaming(std::move(theirs)), what_(std::move(what)) {}

  // `their`: of a block, without its name.
  void move_shared(const std::string& their, const std::string& our, int64_t blocks) {
    const std::string first = concat(block(0), their);
    for (int64_t i = 1; i < blocks; ++i) take_copy(concat(block(i), their), first);
    move(first, our);
  }

  static std::string block(int64_t i) { return concat("transformer_blocks.", i, "."); }

 private:
  void take_copy(const std::string& copy, const std::string& first) {
    const auto found = theirs_.find(copy);
    const auto original = theirs_.find(first);
    if (found == theirs_.end() || original == theirs_.end()) return;
    const Tensor& a = found->second;
    const Tensor& b = original->second;
    const bool same = a.sizes() == b.sizes() && (a.is_meta() || torch::equal(a, b));
    if (!same) {
      throw InputError(concat(what_, ": ", copy, " is another than ", first,
                              ", and DiT has one embedding of times and labels for all its blocks"));
    }
    theirs_.erase(found);
  }

  std::string what_;
};

}  // namespace

ModelOptions read_dit_pipeline(const DiffusersConfigs& configs) {
  ModelOptions options;
  options.parameterization = Parameterization::vp_diffusion;
  options.sigma = ddpm_sigma();
  options.label_dropout = kDitLabelDropout;
  read_transformer(DiffusersConfig(configs.network), options);
  require_ddpm(DiffusersConfig(configs.scheduler));
  options.latents = published_latents(configs.vae);
  return options;
}

NamedTensors from_diffusers(NamedTensors tensors, const DitOptions& network, const std::string& what) {
  // Fixed, as ours are; diffusers saved them before 0.28 and reads them no longer.
  tensors.erase("pos_embed.pos_embed");
  DitRenaming names(std::move(tensors), what);
  names.layer("pos_embed.proj", "x_embedder.proj");
  const std::string embedding = "norm1.emb.";
  for (const char* part : {".weight", ".bias"}) {
    names.move_shared(concat(embedding, "timestep_embedder.linear_1", part), concat("t_embedder.mlp.0", part),
                      network.depth);
    names.move_shared(concat(embedding, "timestep_embedder.linear_2", part), concat("t_embedder.mlp.2", part),
                      network.depth);
  }
  names.move_shared(embedding + "class_embedder.embedding_table.weight", "y_embedder.embedding_table.weight",
                    network.depth);
  for (int64_t i = 0; i < network.depth; ++i) {
    const std::string their = DitRenaming::block(i);
    const std::string our = concat("blocks.", i, ".");
    names.layer(their + "norm1.linear", our + "adaLN_modulation.1");
    names.join_qkv(their + "attn1", our + "attn.qkv");
    names.layer(their + "attn1.to_out.0", our + "attn.proj");
    names.layer(their + "ff.net.0.proj", our + "mlp.fc1");
    names.layer(their + "ff.net.2", our + "mlp.fc2");
  }
  names.layer("proj_out_1", "final_layer.adaLN_modulation.1");
  names.layer("proj_out_2", "final_layer.linear");
  return names.take();
}

}  // namespace cm
