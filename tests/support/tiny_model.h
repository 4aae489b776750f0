// A model that runs in about a millisecond: 4×4 grey images, three classes, one level of 32 channels.
#pragma once

#include "cm/training/model.h"
#include "support/perturb.h"
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

inline void perturb(const Model& model, uint64_t seed) {
  perturb(model.network(), {.seed = seed, .purpose = Purpose::evaluation});
}

// With weights that `seed` decides, none of them 0.
inline Model tiny_model(const ModelOptions& options, uint64_t seed) {
  Model model(options, torch::kCPU, seed);
  perturb(model, seed);
  return model;
}

}  // namespace cm::test
