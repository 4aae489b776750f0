// Hugging Face diffusers' folders of a ConsistencyModelPipeline:
//
//   FOLDER/unet/config.json, diffusion_pytorch_model.safetensors     a UNet2DModel
//   FOLDER/scheduler/scheduler_config.json                           CMStochasticIterativeScheduler's
//   constants
//
// Its U-Net is the ADM U-Net with other names: a level's blocks lie together, and qkv is three linear layers.
#pragma once

#include <filesystem>
#include <optional>

#include "cm/io/safetensors.h"
#include "cm/training/model_options.h"

namespace cm {

// The weight file of a pipeline's folder, or of its `unet` folder; nullopt when `folder` is neither.
// InputError when the U-Net's weights are there in another format only.
std::optional<std::filesystem::path> diffusers_weights(const std::filesystem::path& folder);

// Whether a UNet2DModel's config.json lies beside this file of weights.
bool is_diffusers_unet(const std::filesystem::path& weights);

// What the configs beside a U-Net's weights say: a consistency function in the skip parameterization.
// InputError when they are broken or describe something that the ADM U-Net or our sampling cannot do, with
// file and key.
ModelOptions read_diffusers_options(const std::filesystem::path& weights);

// A UNet2DModel's tensors under the names, and in the shapes, of the ADM U-Net `network`. Tensors that have
// no place in it keep their names.
NamedTensors from_diffusers(NamedTensors tensors, const UNetOptions& network);

}  // namespace cm
