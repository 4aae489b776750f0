// Dropout whose mask is a function of a key, not of a generator's state: two passes with the same key
// (student and target; a forward pass and its recomputation) have the same mask on every device.
#pragma once

#include <cstdint>
#include <optional>

#include "cm/base/tensor.h"

namespace cm {

// One mask for the whole network; each layer derives its own from it. No key means evaluation: no dropout.
struct DropoutKey {
  uint64_t seed = 0;
};

// x with each element zeroed with probability `rate`, the others divided by 1 − rate; x itself without a key
// or at rate 0. `layer` is the layer's number in its network. rate in [0, 1).
Tensor dropout(const Tensor& x, double rate, const std::optional<DropoutKey>& key, int64_t layer);

}  // namespace cm
