// The U-Net of diffusers' ConsistencyModelPipeline (cm/training/diffusers_folder.h has its files): the ADM
// U-Net with other names, in which a level's blocks lie together, and qkv is three linear layers.
#pragma once

#include <filesystem>

#include "cm/io/safetensors.h"
#include "cm/training/model_options.h"

namespace cm {

// What the configs beside weights say: of a U-Net, a consistency function in the skip parameterization; of a
// DiTPipeline's transformer, what read_dit_pipeline makes of them. InputError when they are broken or
// describe something that our networks or our sampling cannot do, with file and key, or what diffusers_model
// refuses.
ModelOptions read_diffusers_options(const std::filesystem::path& weights);

// A UNet2DModel's tensors under the names, and in the shapes, of the ADM U-Net `network` for such images.
// Tensors that have no place in it keep their names.
NamedTensors from_diffusers(NamedTensors tensors, const AdmOptions& network, const ImageSpec& image);

}  // namespace cm
