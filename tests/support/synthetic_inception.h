// Weights of Inception that are none but keep the scale of the features through all layers: uniform in
// ±√(6 / inputs) for convolutions, around (1, 0, 0, 1) for the normalisations' γ, β, mean and variance.
#pragma once

#include <cmath>

#include "cm/nn/inception.h"
#include "support/formula_weights.h"

namespace cm::test {

inline std::pair<double, double> inception_offset_and_scale(const std::string& name, const Tensor& like) {
  if (name.ends_with("conv.weight")) {
    return {0, std::sqrt(6 / static_cast<double>(like.numel() / like.size(0)))};
  }
  if (name.ends_with("bn.weight")) return {1, 0.2};
  if (name.ends_with("running_var")) return {1, 0.5};
  return name == "fc.weight" ? std::pair(0.0, 0.05) : std::pair(0.0, 0.2);
}

inline NamedTensors synthetic_inception_weights(uint64_t seed = 1) {
  Json order = Json::array();
  for (const auto& [name, like] : Inception::weights_like()) {
    const auto [offset, scale] = inception_offset_and_scale(name, like);
    order.push_back({{"j", order.size()},
                     {"name", name},
                     {"offset", offset},
                     {"scale", scale},
                     {"shape", like.sizes().vec()}});
  }
  return formula_weights({{"weight_seed", seed}, {"weight_order", order}});
}

}  // namespace cm::test
