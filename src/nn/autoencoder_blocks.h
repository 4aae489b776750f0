// The two halves of an autoencoder (cm/nn/autoencoder.h): levels of residual blocks without conditions, and
// attention over all positions in the lowest.
#pragma once

#include <functional>
#include <vector>

#include "cm/nn/autoencoder.h"
#include "cm/nn/layers.h"

namespace cm {

using AutoencoderLayer = std::function<Tensor(const Tensor& x)>;

// What both halves are: a convolution, layers, normalisation with SiLU, and a convolution in fp32. Weights
// are 0.
class AutoencoderHalf : public torch::nn::Module {
 public:
  // x [B, in, H, W] in fp32, computed in `type` → [B, out, H', W'] in fp32.
  Tensor forward(const Tensor& x, torch::Dtype type) const;
  // Converts the weights that are computed with in `type`.
  void hold(torch::Dtype type);

 protected:
  AutoencoderHalf(const AutoencoderOptions& options, int64_t in, int64_t first, int64_t last, int64_t out);

  void add_blocks(const std::string& level, int64_t count, int64_t in, int64_t out);
  void add_middle(int64_t channels);
  void add_down(const std::string& name, int64_t channels);
  void add_up(const std::string& name, int64_t channels);

 private:
  int64_t groups_;
  bool mid_attention_;
  Conv2d in_conv_ = nullptr;
  std::vector<AutoencoderLayer> layers_;
  GroupNorm out_norm_ = nullptr;
  Conv2d out_conv_ = nullptr;
};

// Images to the moments of their latents: channels → 2 · latent_channels, sides divided by f.
class AutoencoderEncoder : public AutoencoderHalf {
 public:
  explicit AutoencoderEncoder(const AutoencoderOptions& options);
};

// Latents to images: latent_channels → channels, sides times f.
class AutoencoderDecoder : public AutoencoderHalf {
 public:
  explicit AutoencoderDecoder(const AutoencoderOptions& options);
};

}  // namespace cm
