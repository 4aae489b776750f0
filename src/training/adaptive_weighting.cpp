#include "adaptive_weighting.h"

#include "cm/diffusion/preconditioning.h"

namespace cm {
namespace {

constexpr int64_t kFeatures = 128;

}  // namespace

AdaptiveWeightingImpl::AdaptiveWeightingImpl(uint64_t seed) {
  Initializer initializer(seed);
  features_ = register_module("features", NoiseFeatures(initializer, kFeatures, /*fourier_scale=*/1.0));
  linear_ = register_module("linear", Linear(initializer, kFeatures, 1, /*xavier_gain=*/0.0));
}

Tensor AdaptiveWeightingImpl::forward(const Tensor& sigma) const {
  return linear_->forward(features_->forward(network_time(sigma, /*scale=*/1))).squeeze(1);
}

LossUncertaintyImpl::LossUncertaintyImpl(uint64_t seed) {
  Initializer initializer(seed);
  features_ = register_module("logvar_fourier", MpFourier(initializer, kFeatures));
  linear_ = register_module("logvar_linear", MpLinear(initializer, kFeatures, 1));
}

Tensor LossUncertaintyImpl::forward(const Tensor& sigma) const {
  return linear_->forward(features_->forward(network_time(sigma, /*scale=*/1))).squeeze(1);
}

}  // namespace cm
