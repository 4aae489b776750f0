// Activation checkpointing (Chen et al. 2016, arXiv 1604.06174): keeps a block's inputs instead of its
// activations and recomputes them in the backward pass.
#pragma once

#include <functional>

#include "cm/kernels/joined.h"

namespace cm {

// (x, embedding) → output.
using Block = std::function<Tensor(const Joined& x, const Tensor& embedding)>;

// block(x, embedding), with the same value and gradients (also those of the parameters inside the block), but
// no activations kept. `block` must be a pure function of its arguments and parameters; parameters get a
// gradient only where x or the embedding needs one too. The gradient cannot be differentiated again
// (c10::Error).
Tensor checkpointed(const Block& block, const Joined& x, const Tensor& embedding);

}  // namespace cm
