// An LPIPS network with weights that are none but keep the scale of the features through all layers: uniform
// in ±√(6 / inputs) for the convolutions, ±0.05 for their biases, and in [0, 0.1) for the linear weights.
#pragma once

#include <cmath>
#include <memory>

#include "cm/nn/lpips.h"
#include "cm/nn/network.h"
#include "support/formula_weights.h"

namespace cm::test {

inline std::map<std::string, Tensor> synthetic_lpips_weights(uint64_t seed = 1) {
  std::map<std::string, Tensor> weights;
  uint64_t j = 0;
  for (const auto& [name, like] : weights_of(Lpips())) {
    const bool linear = name.starts_with("lin");
    const bool bias = like.dim() == 1;
    const auto inputs = static_cast<double>(like.numel() / like.size(0));
    const double scale = linear ? 0.05 : bias ? 0.05 : std::sqrt(6 / inputs);
    const double offset = linear ? 0.05 : 0;
    Tensor tensor = torch::empty_like(like);
    auto* values = tensor.data_ptr<float>();
    for (int64_t i = 0; i < tensor.numel(); ++i) {
      const double u = hashed_uniform(seed, j, static_cast<uint64_t>(i));
      values[i] = static_cast<float>(offset + scale * (2 * u - 1));
    }
    weights[name] = tensor;
    ++j;
  }
  return weights;
}

inline std::shared_ptr<Lpips> synthetic_lpips(uint64_t seed = 1) {
  auto lpips = std::make_shared<Lpips>();
  copy_weights(synthetic_lpips_weights(seed), *lpips, "synthetic weights");
  return lpips;
}

}  // namespace cm::test
