// The configs of a diffusers folder: the U-Net's, the scheduler's and the pipeline's.
#include "cm/training/diffusers_folder.h"
#include "fuzz/fuzz_target.h"
#include "src/training/diffusers.h"

namespace cm::fuzz {
namespace {

std::vector<std::string> diffusers_seeds() {
  return {
      R"({"_class_name": "UNet2DModel", "sample_size": 8, "block_out_channels": [32, 64],
"down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
"attention_head_dim": 16, "num_class_embeds": 3, "layers_per_block": 1}
|{"_class_name": "CMStochasticIterativeScheduler", "sigma_max": 80.0, "sigma_min": 0.002, "num_train_timesteps": 40}
|{"_class_name": "ConsistencyModelPipeline", "scheduler": ["diffusers", "CMStochasticIterativeScheduler"]})",
      R"({"_class_name": "UNet2DModel", "sample_size": [4, 4], "block_out_channels": [32],
"down_block_types": ["ResnetDownsampleBlock2D"], "downsample_type": "resnet", "resnet_time_scale_shift": "scale_shift"})",
      R"({"_class_name": "DiTTransformer2DModel", "num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1,
"out_channels": 8, "sample_size": 4, "num_embeds_ada_norm": 3}
|{"_class_name": "DDIMScheduler", "clip_sample": false}|{"_class_name": "DiTPipeline"})"};
}

void read_diffusers(const std::string& input) {
  std::vector<std::string> texts = pieces(input, '|');
  texts.resize(3, "{}");
  std::filesystem::create_directories(scratch() / "unet");
  std::filesystem::create_directories(scratch() / "scheduler");
  file_of(texts[0], "unet/config.json");
  file_of(texts[1], "scheduler/scheduler_config.json");
  file_of(texts[2], "model_index.json");
  file_of("", "unet/diffusion_pytorch_model.safetensors");
  std::filesystem::create_directories(scratch() / "vae");
  file_of(R"({"_class_name": "AutoencoderKL"})", "vae/config.json");
  file_of("", "vae/diffusion_pytorch_model.safetensors");
  const auto weights = diffusers_weights(scratch());
  if (!weights) throw InputError("no diffusers folder");
  const ModelOptions options = read_diffusers_options(*weights);
  require(options.image.size > 0 && options.image.channels > 0, "images have a size");
  check_fits(options.network, options.image);
  is_bare_unet(*weights);
}

const Listed kDiffusers({"diffusers", diffusers_seeds, read_diffusers});

}  // namespace
}  // namespace cm::fuzz
