// The transformer of diffusers' DiTPipeline (cm/training/diffusers_folder.h has its files): DiT with other
// names, in which qkv is three linear layers, and every block has the embeddings of time and label for
// itself.
#pragma once

#include <string>

#include "cm/io/safetensors.h"
#include "cm/training/diffusers_folder.h"
#include "cm/training/model_options.h"

namespace cm {

// What the configs of a DiTPipeline say: a diffusion model of DDPM's levels (vp_diffusion) on the latents of
// its VAE, as the pipeline tells it pixels and scales it. InputError, with file and key, where they are
// missing, broken, or describe something else than diffusers' DDIM of DiT as published.
ModelOptions read_dit_pipeline(const DiffusersConfigs& configs);

// A DiTTransformer2DModel's tensors under the names of `network`. Tensors that have no place in it keep their
// names. InputError, with `what` in front, where the embeddings of two blocks differ: DiT has one of each.
NamedTensors from_diffusers(NamedTensors tensors, const DitOptions& network, const std::string& what);

}  // namespace cm
