// Networks whose layers that training starts at 0 have something to say.
#pragma once

#include <torch/nn/module.h>

#include "cm/base/random.h"
#include "cm/kernels/normal.h"

namespace cm::test {

// Adds noise of `key` to every parameter, so that none is at its initial 0.
inline void perturb(const torch::nn::Module& network, RandomKey key) {
  const torch::NoGradGuard guard;
  for (auto& parameter : network.parameters()) {
    const Tensor noise = normal(key, {0}, {parameter.numel()});
    ++key.step;
    parameter.add_(0.1 * noise.view(parameter.sizes()).to(parameter.device()));
  }
}

}  // namespace cm::test
