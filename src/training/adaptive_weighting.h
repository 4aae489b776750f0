// The logarithm of a loss's weight, learned along with the network (as EDM2 learns it: Karras et al., arXiv
// 2312.02696, §2.2; sCM §4.2): the minimum of e^w L − w is at w = −ln L, so every noise level comes to weigh
// the same.
#pragma once

#include "cm/nn/layers.h"

namespace cm {

// w(σ) = Linear(Fourier features of ¼ ln σ), 0 at the start.
class AdaptiveWeightingImpl : public torch::nn::Module {
 public:
  // `seed` decides the features' frequencies.
  explicit AdaptiveWeightingImpl(uint64_t seed);
  // sigma [B] → w [B], fp32.
  Tensor forward(const Tensor& sigma) const;

 private:
  NoiseFeatures features_ = nullptr;
  Linear linear_ = nullptr;
};
TORCH_MODULE(AdaptiveWeighting);

}  // namespace cm
