// Images that a fixture does not store but defines by the formula of its weights: bytes of tensor number 0 of
// the sidecar's "image_seed", in the "image_shape" [N, C, H, W].
#pragma once

#include <cmath>

#include "support/formula_weights.h"

namespace cm::test {

inline Tensor formula_images(const Json& config) {
  const auto seed = config.at("image_seed").get<uint64_t>();
  Tensor images = torch::empty(config.at("image_shape").get<std::vector<int64_t>>(), torch::kUInt8);
  auto* bytes = images.data_ptr<uint8_t>();
  for (int64_t i = 0; i < images.numel(); ++i) {
    bytes[i] = static_cast<uint8_t>(std::floor(256 * hashed_uniform(seed, 0, static_cast<uint64_t>(i))));
  }
  return images.to(parity_device());
}

}  // namespace cm::test
