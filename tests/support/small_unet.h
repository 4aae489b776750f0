// The smallest U-Nets that have all their parts: two levels of one block each, attention at half of 8 pixels.
#pragma once

#include <concepts>
#include <stdexcept>

#include "cm/nn/networks.h"

namespace cm::test {

template <class Options = AdmOptions>
Options small_unet() {
  Options options;
  options.channels = 32;
  options.channel_mult = {1, 2};
  options.res_blocks = 1;
  options.attention_resolutions = {4};
  options.head_channels.reset();  // EDM2's are wider
  return options;
}

// Those that are U-Nets.
inline std::vector<std::string> architectures() {
  std::vector<std::string> names;
  for_each_alternative<NetworkOptions>([&]<class Options>(const Options&) {
    if constexpr (std::derived_from<Options, UNetOptions>) names.emplace_back(Options::kName);
  });
  return names;
}

// What all U-Nets have of a network's options.
inline UNetOptions& unet_of(NetworkOptions& options) {
  return std::visit(
      []<class Options>(Options& o) -> UNetOptions& {
        if constexpr (std::derived_from<Options, UNetOptions>) {
          return o;
        } else {
          throw std::logic_error("no U-Net");
        }
      },
      options);
}

// Of that architecture, whose own options have their defaults.
inline NetworkOptions of_architecture(const std::string& name, const UNetOptions& common = small_unet()) {
  NetworkOptions options = alternative_named<NetworkOptions>(name).value();
  unet_of(options) = common;
  return options;
}

}  // namespace cm::test
