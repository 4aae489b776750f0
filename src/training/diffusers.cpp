#include "diffusers.h"

#include "cm/training/diffusers_folder.h"
#include "diffusers_config.h"
#include "diffusers_dit.h"
#include "tensor_renaming.h"

namespace cm {
namespace {

// --- Configs ---------------------------------------------------------------------------------------------

void require_constants(const DiffusersConfig& config) {
  config.require("act_fn", "silu", "silu");
  config.require("norm_eps", 1e-5, 1e-5);
  config.require("norm_num_groups", 32, 32);
  config.require("time_embedding_type", "positional", "positional");
  config.require("time_embedding_dim", nullptr, nullptr);
  config.require("flip_sin_to_cos", true, true);
  config.require("freq_shift", 0, 0);
  config.require("center_input_sample", false, false);
  config.require("mid_block_type", "UNetMidBlock2D", "UNetMidBlock2D");
  config.require("mid_block_scale_factor", 1, 1);
  config.require("add_attention", true, true);
  config.require("downsample_padding", 1, 1);
  config.require("class_embed_type", nullptr, nullptr);
  if (config.get("out_channels", 3) != config.get("in_channels", 3)) {
    config.reject("out_channels", "must equal in_channels");
  }
}

// Which levels attend, and whether residual blocks change the resolution, is in the names of the blocks.
struct BlockType {
  std::string name;
  bool attends;
  std::optional<bool> resnet_resampling;  // nullopt: as downsample_type says
};

const BlockType& block_type(const DiffusersConfig& config, const std::string& name) {
  static const std::array kTypes = {BlockType{"DownBlock2D", false, false},
                                    BlockType{"ResnetDownsampleBlock2D", false, true},
                                    BlockType{"AttnDownBlock2D", true, std::nullopt}};
  for (const auto& type : kTypes) {
    if (type.name == name) return type;
  }
  config.reject("down_block_types", "must be DownBlock2D, ResnetDownsampleBlock2D or AttnDownBlock2D");
}

// Residual or convolutional resampling, the same at every level.
bool resblock_updown(const DiffusersConfig& config, const std::vector<std::string>& down) {
  const auto downsample = config.as<std::string>("downsample_type", "conv");
  if (downsample != "resnet" && downsample != "conv") {
    config.reject("downsample_type", R"(must be "resnet" or "conv")");
  }
  std::optional<bool> all;
  for (size_t level = 0; level + 1 < down.size(); ++level) {  // the last level changes nothing
    const bool resnet = block_type(config, down[level]).resnet_resampling.value_or(downsample == "resnet");
    if (all.value_or(resnet) != resnet) {
      config.reject("down_block_types", "must change the resolution in one way at all levels");
    }
    all = resnet;
  }
  return all.value_or(true);
}

int64_t image_side(const DiffusersConfig& config) {
  const Json size = config.get("sample_size", nullptr);
  if (size.is_array() && size.size() == 2 && size[0] == size[1] && size[0].is_number_integer()) {
    return size[0].get<int64_t>();
  }
  return config.positive("sample_size", nullptr);
}

void read_unet(const DiffusersConfig& config, ModelOptions& options) {
  require_constants(config);
  const Json classes = config.get("num_class_embeds", nullptr);
  options.image = {.channels = config.positive("in_channels", 3),
                   .size = image_side(config),
                   .classes = classes.is_null() ? 0 : config.positive("num_class_embeds", nullptr)};

  AdmOptions network;
  const auto widths = config.as<std::vector<int64_t>>("block_out_channels", Json({224, 448, 672, 896}));
  const auto down = config.as<std::vector<std::string>>(
      "down_block_types", Json({"DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"}));
  if (widths.empty() || widths.size() != down.size() || widths.front() < 1) {
    config.reject("block_out_channels", "must name one width for each of down_block_types");
  }
  network.channels = widths.front();
  network.channel_mult.clear();
  network.attention_resolutions.clear();
  for (size_t level = 0; level < down.size(); ++level) {
    network.channel_mult.push_back(static_cast<double>(widths[level]) / static_cast<double>(widths.front()));
    if (block_type(config, down[level]).attends) {
      network.attention_resolutions.push_back(options.image.size >> level);
    }
  }
  network.res_blocks = config.positive("layers_per_block", 2);
  network.resblock_updown = resblock_updown(config, down);
  const auto conditioning = config.as<std::string>("resnet_time_scale_shift", "default");
  if (conditioning != "default" && conditioning != "scale_shift") {
    config.reject("resnet_time_scale_shift", R"(must be "default" or "scale_shift")");
  }
  network.scale_shift_norm = conditioning == "scale_shift";
  if (!config.get("attention_head_dim", 8).is_null()) {
    network.head_channels = config.positive("attention_head_dim", 8);
  }
  network.dropout = config.as<double>("dropout", 0.0);
  options.network = network;
}

void read_scheduler(const DiffusersConfig& config, ModelOptions& options) {
  options.sigma = {.min = config.positive_number("sigma_min", 0.002),
                   .max = config.positive_number("sigma_max", 80.0),
                   .data = config.positive_number("sigma_data", 0.5),
                   .rho = config.positive_number("rho", 7.0)};
  options.sampling.grid = config.positive("num_train_timesteps", 40);
  config.require("s_noise", 1.0, 1.0);
  config.require("clip_denoised", true, true);  // --no-clamp is the sampling command's
}

ModelOptions read_consistency_unet(const DiffusersConfigs& configs) {
  ModelOptions options;
  options.parameterization = Parameterization::skip;
  read_unet(DiffusersConfig(configs.network), options);
  if (std::filesystem::exists(configs.scheduler)) read_scheduler(DiffusersConfig(configs.scheduler), options);
  return options;
}

// --- Names -----------------------------------------------------------------------------------------------

constexpr BlockNames kTheirNames = {"norm1",         "conv1",      "time_emb_proj", "norm2",   "conv2",
                                    "conv_shortcut", "group_norm", "to_q",          "to_out.0"};

// Stage by stage.
class UNetRenaming : public TensorRenaming {
 public:
  UNetRenaming(NamedTensors theirs, const BlockNames& ours)
      : TensorRenaming(std::move(theirs)), names_(ours) {}

  void block(const std::string& their, const std::string& our) {
    for (const auto name : {&BlockNames::in_norm, &BlockNames::in_conv, &BlockNames::embedding,
                            &BlockNames::out_norm, &BlockNames::out_conv, &BlockNames::skip}) {
      layer(concat(their, ".", kTheirNames.*name), concat(our, ".", names_.*name));
    }
  }

  void attention(const std::string& their, const std::string& our) {
    layer(concat(their, ".", kTheirNames.attention_norm), concat(our, ".", names_.attention_norm));
    const std::string qkv = concat(our, ".", names_.qkv);
    join_qkv(their, qkv);
    as_convolution(qkv + ".weight");
    const std::string projection = concat(our, ".", names_.projection);
    layer(concat(their, ".", kTheirNames.projection), projection);
    as_convolution(projection + ".weight");
  }

 private:
  // A linear layer's weight is that of a 1×1 convolution.
  void as_convolution(const std::string& name) {
    const auto found = ours_.find(name);
    if (found != ours_.end() && found->second.dim() == 2) {
      found->second = found->second.unsqueeze(2).unsqueeze(3);
    }
  }

  BlockNames names_;
};

// Where diffusers has the stages of our network: in levels, each with its blocks, their attentions and the
// change of resolution behind them.
class Places {
 public:
  void rename(const UNetStage& stage, UNetRenaming& names) {
    if (stage.section != section_) {
      section_ = stage.section;
      level_ = block_ = 0;
    }
    const std::string level = stage.section == UNetStage::Section::middle
                                  ? "mid_block."
                                  : concat(up() ? "up_blocks." : "down_blocks.", level_, ".");
    const bool resamples = stage.resample != Resample::none;
    if (stage.kind == UNetStage::Kind::attention) {
      names.attention(concat(level, "attentions.", block_ - 1), stage.name);
    } else if (stage.kind == UNetStage::Kind::block) {
      names.block(resamples ? level + sampler() : concat(level, "resnets.", block_++), stage.name);
    } else if (stage.kind == UNetStage::Kind::convolution) {
      names.layer(resamples ? concat(level, sampler(), ".conv") : "conv_in", stage.name);
    }
    if (resamples) {
      ++level_;
      block_ = 0;
    }
  }

 private:
  bool up() const { return section_ == UNetStage::Section::decoder; }
  std::string sampler() const { return up() ? "upsamplers.0" : "downsamplers.0"; }

  UNetStage::Section section_ = UNetStage::Section::encoder;
  int64_t level_ = 0;
  int64_t block_ = 0;
};

}  // namespace

ModelOptions read_diffusers_options(const std::filesystem::path& weights) {
  const DiffusersModel model = diffusers_model(weights);
  const DiffusersConfigs configs = diffusers_configs(weights);
  return model == DiffusersModel::dit ? read_dit_pipeline(configs) : read_consistency_unet(configs);
}

NamedTensors from_diffusers(NamedTensors tensors, const AdmOptions& network, const ImageSpec& image) {
  const UNetPlan plan = plan_of(network, image);
  UNetRenaming names(std::move(tensors), plan.style.names);
  names.layer("time_embedding.linear_1", plan.embedding);
  names.layer("time_embedding.linear_2", plan.embedding_end);
  names.move("class_embedding.weight", plan.labels + ".weight");
  Places places;
  for (const auto& stage : plan.stages) places.rename(stage, names);
  names.layer("conv_norm_out", plan.output_norm);
  names.layer("conv_out", plan.output_conv);
  return names.take();
}

}  // namespace cm
