// A model that runs in about a millisecond: 4×4 grey images, three classes, one level of 32 channels.
#pragma once

#include "cm/base/random.h"
#include "cm/training/model.h"
#include "support/small_unet.h"

namespace cm::test {

template <class Options = AdmOptions>
Options tiny_network(double dropout = 0) {
  Options options;
  options.channels = 32;
  options.channel_mult = {1};
  options.res_blocks = 1;
  options.attention_resolutions = {};
  options.head_channels.reset();
  options.dropout = dropout;
  return options;
}

// NCSN++ needs a second level to have all its parts.
inline NcsnppOptions tiny_ncsnpp(double dropout = 0) {
  auto options = tiny_network<NcsnppOptions>(dropout);
  options.channel_mult = {1, 1};
  return options;
}

inline ModelOptions tiny_options(Parameterization parameterization = Parameterization::skip) {
  ModelOptions options;
  options.network = tiny_network();
  common_options(options.network).second_time = is_flow_map(parameterization);
  options.image = {.channels = 1, .size = 4, .classes = 3};
  options.parameterization = parameterization;
  return options;
}

// Adds noise to every weight, so that no layer is at its initial 0.
inline void perturb(Model& model, uint64_t seed) {
  const torch::NoGradGuard guard;
  uint32_t i = 0;
  for (auto& parameter : model.parameters()) {
    const Tensor noise =
        normal({.seed = seed, .purpose = Purpose::evaluation, .step = i++}, {0}, {parameter.numel()});
    parameter.add_(0.1 * noise.view(parameter.sizes()).to(parameter.device()));
  }
}

// With weights that `seed` decides, none of them 0.
inline Model tiny_model(const ModelOptions& options, uint64_t seed) {
  Model model(options, torch::kCPU, seed);
  perturb(model, seed);
  return model;
}

}  // namespace cm::test
