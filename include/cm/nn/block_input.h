// What the blocks of a U-Net share, whatever their architecture.
#pragma once

#include <optional>

#include "cm/nn/checkpointing.h"
#include "cm/nn/dropout.h"

namespace cm {

// The same for every block of one forward pass.
struct BlockInput {
  Tensor embedding;  // [B, embedding width]: time, plus class, after SiLU
  std::optional<DropoutKey> dropout_key;
  bool checkpoint_activations = false;
};

// block(x, input.embedding), its activations kept or recomputed in the backward pass as `input` says.
Tensor run_block(const Block& block, const Tensor& x, const BlockInput& input);

}  // namespace cm
