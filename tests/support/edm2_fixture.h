// What the fixtures of EDM2's code say of their network (tests/fixtures/edm2*.json).
#pragma once

#include "cm/nn/networks.h"
#include "support/edm_order.h"
#include "support/fixtures.h"

namespace cm::test {

inline Edm2Options edm2_options(const Json& network) {
  Edm2Options options;
  options.channels = network.at("model_channels").get<int64_t>();
  options.channel_mult = network.at("channel_mult").get<std::vector<double>>();
  options.res_blocks = network.at("num_blocks").get<int64_t>();
  options.attention_resolutions = network.at("attn_resolutions").get<std::vector<int64_t>>();
  options.head_channels = network.at("channels_per_head").get<int64_t>();
  options.residual_balance = network.value("res_balance", options.residual_balance);
  options.attention_balance = network.value("attn_balance", options.attention_balance);
  options.label_balance = network.value("label_balance", options.label_balance);
  options.concat_balance = network.value("concat_balance", options.concat_balance);
  options.clip = network.value("clip_act", *options.clip);
  return options;
}

inline ImageSpec edm2_image(const Json& network) {
  return {.channels = network.at("img_channels").get<int64_t>(),
          .size = network.at("img_resolution").get<int64_t>(),
          .classes = network.at("label_dim").get<int64_t>()};
}

// The tensors of the network, or those of the loss's uncertainty.
inline NamedTensors edm2_part(NamedTensors tensors, bool of_loss) {
  std::erase_if(tensors, [&](const auto& entry) { return entry.first.starts_with("logvar_") != of_loss; });
  return tensors;
}

}  // namespace cm::test
