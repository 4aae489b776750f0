// LPIPS, the learned perceptual distance of two images (Zhang et al. 2018, arXiv 1801.03924, Eq. 1), on VGG16
// with average pooling in place of max pooling, as consistency models are trained with it (CM §6.1):
//
//   d(a, b) = Σ_l 1/(H_l W_l) Σ_{h,w} Σ_c w_lc (â_lchw − b̂_lchw)²,   f̂ = f / (‖f‖ + 1e−10)
//
// over the features f of relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3, ‖·‖ over channels, w_l ≥ 0.
#pragma once

#include <torch/nn/module.h>

#include <array>
#include <vector>

#include "cm/nn/layers.h"

namespace cm {

class Lpips : public torch::nn::Module {
 public:
  static constexpr size_t kLayers = 5;

  // All weights are 0, to be loaded (copy_weights), and frozen. Names and shapes: VGG16's convolutions in
  // torchvision's numbering ("features.0.weight" … "features.28.bias"), and "lin0" … "lin4" [1, C_l, 1, 1].
  Lpips();

  // d(a, b): two batches [B, 3, H, W] in [−1, 1], H, W ≥ 16 → [B], differentiable in both. An image that
  // needs no gradient is passed without recording anything.
  Tensor forward(const Tensor& a, const Tensor& b) const;

  // The sum's terms, one column a layer: [B, 5].
  Tensor per_layer(const Tensor& a, const Tensor& b) const;

  // f̂ of each layer, in the order above, [B, C_l, H/2^l, W/2^l]. The convolutions run in the weights' dtype;
  // what follows them in at least fp32.
  std::vector<Tensor> features(const Tensor& images) const;

 private:
  std::array<std::vector<Conv2d>, kLayers> stages_;  // between two poolings; each ends in a layer's features
  std::array<Tensor, kLayers> lin_;
};

// f̂: features [B, C, H, W] divided by (their norm over channels + 1e−10). Where all channels are 0, so is the
// result, and its gradient (the plain formula's is NaN there).
Tensor unit_channels(const Tensor& features);

// The rule of the training losses: images narrower than 256 pixels become 224 × 224 (bilinear, half-pixel
// centres, no antialiasing), others stay. [B, C, H, W] → [B, C, H', W'].
Tensor lpips_sized(const Tensor& images);

}  // namespace cm
