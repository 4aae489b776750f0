// A network with all that turns it into a denoiser or a consistency function, and its file.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "cm/diffusion/denoiser.h"
#include "cm/diffusion/discretization.h"
#include "cm/diffusion/preconditioning.h"
#include "cm/io/safetensors.h"
#include "cm/nn/unet.h"

namespace cm {

// How the model samples best; kept with the weights.
struct SamplingOptions {
  std::optional<int64_t> grid;
  std::vector<double> sigmas;
};

template <class Visitor>
void fields(Visitor& visit, SamplingOptions& o) {
  visit("grid", o.grid,
        "levels of the Karras grid whose indices name the time points; default: the training's last N",
        at_least(2));
  visit("sigmas", o.sigmas,
        "time points of multistep sampling, from sigma.max down, where a search found good ones", above(0));
}

// All that is needed to use a weight file; travels in its metadata.
struct ModelOptions {
  UNetOptions network;
  ImageSpec image;
  Parameterization parameterization = Parameterization::skip;
  SigmaOptions sigma;
  SamplingOptions sampling;
};

template <class Visitor>
void fields(Visitor& visit, ModelOptions& o) {
  visit("network", o.network, "the U-Net");
  visit("image", o.image, "the images");
  visit("parameterization", o.parameterization, "how the network becomes a denoiser or consistency function");
  visit("sigma", o.sigma, "noise levels");
  visit("sampling", o.sampling, "sampling");
}

class Model {
 public:
  // `seed` decides the initial weights; without one they are 0, to be loaded.
  Model(const ModelOptions& options, const torch::Device& device,
        std::optional<uint64_t> seed = std::nullopt);

  // The denoiser (edm) or consistency function (skip, piecewise) with labels (int64 [B], undefined where
  // there are no classes) and dropout bound. Shares this model's weights.
  Denoiser denoiser(const Tensor& labels = {}, std::optional<DropoutKey> dropout = std::nullopt) const;

  const ModelOptions& options() const { return options_; }
  Network& network() const { return *network_; }
  torch::Device device() const { return device_; }
  std::vector<Tensor> parameters() const { return network_->parameters(); }
  // What a weight file of this model holds; with `parameters` (an average of them, in the same order) in
  // place of its own.
  NamedTensors named_weights() const { return weights_of(*network_); }
  NamedTensors named_weights(const std::vector<Tensor>& parameters) const;

  // No parameter of this model gets a gradient from now on.
  void freeze();

 private:
  ModelOptions options_;
  torch::Device device_;
  std::shared_ptr<Network> network_;
};

// Writes `weights` (a model's, or an average of them) with the metadata that load_model needs.
void save_weights(const std::filesystem::path& path, const ModelOptions& options,
                  const NamedTensors& weights);

// A frozen model from one weight file. InputError when the file is missing, broken, without our metadata, or
// holds the weights of another network.
Model load_model(const std::filesystem::path& path, const torch::Device& device);

// The metadata of a weight file. Same errors.
ModelOptions read_model_options(const std::filesystem::path& path);

// Loads a weight file into an existing model whose network has the same shape, whatever its parameterization.
void load_weights(const std::filesystem::path& path, Model& model);

}  // namespace cm
