// The VAE that decodes what a model of latents makes: the same options for every executable that makes
// images.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "cm/training/image_codec.h"
#include "cm/training/model_options.h"
#include "cm/training/weight_choice.h"

namespace CLI {
class App;
}

namespace cm {

struct VaeOptions {
  std::optional<std::string> folder = std::nullopt;  // none: that of the run's config
  std::optional<int64_t> tile = std::nullopt;        // DecodingLimits::tile
};

// Declares --vae and --vae-tile.
void add_vae_options(CLI::App& app, VaeOptions& options);

// Opens what makes images of models; a VAE that several of them share is read once.
class CodecOpener {
 public:
  CodecOpener(VaeOptions options, const torch::Device& device)
      : options_(std::move(options)), device_(device) {}

  // InputError where a model of latents has no VAE, or another's, and where a model of pixels is given one.
  ImageCodec open(const ResolvedWeights& weights, const ModelOptions& model);

 private:
  VaeOptions options_;
  torch::Device device_;
  std::map<std::string, std::shared_ptr<Autoencoder>> opened_;
};

}  // namespace cm
