// An autoencoder as diffusers saves it: config.json of an AutoencoderKL beside
// diffusion_pytorch_model.safetensors, or a pipeline's folder with both in `vae`.
#pragma once

#include <filesystem>
#include <memory>

#include "cm/data/latent_space.h"
#include "cm/nn/autoencoder.h"

namespace cm {

struct AutoencoderLoading {
  torch::Device device = torch::kCPU;
  ComputeType dtype = ComputeType::fp32;
  DecodingLimits limits = {};
};

// The autoencoder of a folder, frozen. A variant's weights are taken, with a line in the log, where they are
// all there is; where the config says force_upcast, as of weights whose activations fp16 cannot hold, it
// computes in fp32 in place of fp16, with a line in the log. InputError, with file and key, for another
// class, a config that AutoencoderKL does not have or that is not offered here, and weights that are not the
// config's.
std::shared_ptr<Autoencoder> load_autoencoder(const std::filesystem::path& folder,
                                              const AutoencoderLoading& loading = {});

// The space in which diffusers' models of that autoencoder's latents live, which is told pixels from −1 to 1:
// z · scaling_factor. Same errors, but for what is in the weights.
LatentSpace published_latents(const std::filesystem::path& folder);

}  // namespace cm
