// The smallest U-Nets that have all their parts: two levels of one block each, attention at half of 8 pixels.
#pragma once

#include "cm/nn/networks.h"

namespace cm::test {

template <class Options = AdmOptions>
Options small_unet() {
  Options options;
  options.channels = 32;
  options.channel_mult = {1, 2};
  options.res_blocks = 1;
  options.attention_resolutions = {4};
  return options;
}

inline std::vector<std::string> architectures() {
  return all_names<Alternative<NetworkOptions>>();
}

// What all U-Nets have of a network's options.
inline UNetOptions& unet_of(NetworkOptions& options) {
  return std::visit([](auto& o) -> UNetOptions& { return o; }, options);
}

// Of that architecture, whose own options have their defaults.
inline NetworkOptions of_architecture(const std::string& name, const UNetOptions& common = small_unet()) {
  NetworkOptions options = alternative_named<NetworkOptions>(name).value();
  unet_of(options) = common;
  return options;
}

}  // namespace cm::test
