// An autoencoder of a few channels with random weights.
#pragma once

#include <memory>

#include "cm/nn/autoencoder.h"

namespace cm::test {

inline AutoencoderOptions small_autoencoder() {
  return {.block_channels = {32, 64}, .blocks = 1, .groups = 16};
}

// Weights of normalisations about 1, others so large that activations neither grow nor vanish.
inline void randomize(Autoencoder& autoencoder, uint64_t seed = 1) {
  torch::manual_seed(seed);
  for (const auto& parameter : autoencoder.named_parameters()) {
    const Tensor& weight = parameter.value();
    const bool scales =
        parameter.key().find("norm") != std::string::npos && parameter.key().ends_with("weight");
    const double deviation = weight.dim() > 1 ? 1 / std::sqrt(static_cast<double>(weight[0].numel())) : 0.1;
    weight.copy_(deviation * torch::randn(weight.sizes()) + (scales ? 1 : 0));
  }
}

inline std::shared_ptr<Autoencoder> random_autoencoder(
    const AutoencoderOptions& options = small_autoencoder()) {
  auto autoencoder = std::make_shared<Autoencoder>(options);
  randomize(*autoencoder);
  return autoencoder;
}

}  // namespace cm::test
