// The logarithm of a loss's weight, learned along with the network (EDM2: Karras et al., arXiv 2312.02696,
// §2.2; sCM §4.2): the minimum of e^w L − w is at w = −ln L, so every noise level comes to weigh the same.
#pragma once

#include "cm/nn/magnitude_preserving.h"

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

// EDM2's u(σ) = −w(σ), of magnitude-preserving layers under the names of its published weights.
class LossUncertaintyImpl : public torch::nn::Module {
 public:
  // `seed` decides the features' frequencies and phases, and the weights at the start.
  explicit LossUncertaintyImpl(uint64_t seed);
  // sigma [B] → u [B], fp32.
  Tensor forward(const Tensor& sigma) const;

 private:
  MpFourier features_ = nullptr;
  MpLinear linear_ = nullptr;
};
TORCH_MODULE(LossUncertainty);

}  // namespace cm
