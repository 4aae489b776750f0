#include "cm/nn/block_input.h"

namespace cm {

Tensor run_block(const Block& block, const Tensor& x, const BlockInput& input) {
  return input.checkpoint_activations ? checkpointed(block, x, input.embedding) : block(x, input.embedding);
}

}  // namespace cm
