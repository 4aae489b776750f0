// A folder as diffusers saves it: where the weights are, and what they are a model of.
//
//   FOLDER/model_index.json                                     the pipeline's class
//   FOLDER/scheduler/scheduler_config.json                      the scheduler's class and constants
//   FOLDER/unet/config.json                                     the network's class and shape
//   FOLDER/unet/diffusion_pytorch_model.safetensors             its weights; in shards, or as a variant:
//   FOLDER/unet/diffusion_pytorch_model.safetensors.index.json
//   FOLDER/unet/diffusion_pytorch_model.VARIANT.safetensors     (or …safetensors.index.VARIANT.json)
//
//   FOLDER/vae                                                  of a DiTPipeline (autoencoder_folder.h)
//
// A `unet` folder may lie alone. A DiTPipeline's network is in `transformer`.
#pragma once

#include <filesystem>
#include <optional>

namespace cm {

// The configs that tell what weights are. Those of the pipeline need not exist.
struct DiffusersConfigs {
  std::filesystem::path index;
  std::filesystem::path scheduler;
  std::filesystem::path network;
  std::filesystem::path vae;  // its folder
};
DiffusersConfigs diffusers_configs(const std::filesystem::path& weights);

// The weight file, or the index of its shards, in the folder of a network. A variant is taken, with a line in
// the log, where it is all there is. InputError when there is none, for several variants, and when the
// weights are pickled.
std::filesystem::path weights_beside_config(const std::filesystem::path& network);

// The same of a pipeline's folder or of its network's; nullopt when `folder` is neither. InputError also for
// a folder of what diffusers_model refuses.
std::optional<std::filesystem::path> diffusers_weights(const std::filesystem::path& folder);

// Whether a network's config of diffusers' lies beside this file of weights.
bool is_of_diffusers(const std::filesystem::path& weights);

// What is read: a ConsistencyModelPipeline's UNet2DModel, also where nothing says whose it is, and a
// DiTPipeline's DiTTransformer2DModel.
enum class DiffusersModel { consistency_unet, dit };

// Which of them the configs allow that these weights are. InputError, with the classes and the prediction
// type, where it is none.
DiffusersModel diffusers_model(const std::filesystem::path& weights);

// The folder of the VAE that makes images of what these weights make: a DiTPipeline's; nullopt for all
// others.
std::optional<std::filesystem::path> vae_of_pipeline(const std::filesystem::path& weights);

// Whether `weights` are of diffusers' and nothing beside them says what they are a model of.
bool is_bare_unet(const std::filesystem::path& weights);

// InputError for weights that diffusers saved as a pickle.
[[noreturn]] void refuse_pickled(const std::filesystem::path& weights);

}  // namespace cm
