// Networks of the fixtures: the options in a sidecar's "unet", and weights.
#pragma once

#include "cm/nn/networks.h"
#include "support/fixtures.h"

namespace cm::test {

inline ImageSpec image_spec(const Json& unet) {
  const Json& classes = unet.at("num_classes");
  return {.channels = unet.at("in_channels").get<int64_t>(),
          .size = unet.at("image_size").get<int64_t>(),
          .classes = classes.is_null() ? 0 : classes.get<int64_t>()};
}

// The sides of the levels whose downsampling factor is listed; the reference ignores factors without a level.
inline std::vector<int64_t> attention_sides(const Json& unet) {
  const auto size = unet.at("image_size").get<int64_t>();
  const int64_t deepest = int64_t{1} << (unet.at("channel_mult").size() - 1);
  std::vector<int64_t> sides;
  for (const auto factor : unet.at("attention_downsample_factors").get<std::vector<int64_t>>()) {
    if (factor <= deepest) sides.push_back(size / factor);
  }
  return sides;
}

inline AdmOptions unet_options(const Json& unet) {
  AdmOptions options;
  options.channels = unet.at("base_channels").get<int64_t>();
  options.channel_mult = unet.at("channel_mult").get<std::vector<double>>();
  options.res_blocks = unet.at("num_res_blocks").get<int64_t>();
  options.attention_resolutions = attention_sides(unet);
  if (const auto channels = unet.at("num_head_channels").get<int64_t>(); channels != -1) {
    options.head_channels = channels;
  } else {
    options.heads = unet.at("num_heads").get<int64_t>();
  }
  options.dropout = unet.at("dropout").get<double>();
  options.scale_shift_norm = unet.at("use_scale_shift_norm").get<bool>();
  options.resblock_updown = unet.at("resblock_updown").get<bool>();
  options.conv_resample = unet.at("conv_resample").get<bool>();
  return options;
}

// The tensors PREFIXname, as name.
inline NamedTensors with_prefix(const Fixture& fixture, const std::string& prefix) {
  NamedTensors found;
  for (const auto& [name, tensor] : fixture.tensors) {
    if (name.starts_with(prefix)) found[name.substr(prefix.size())] = tensor;
  }
  return found;
}

}  // namespace cm::test
