// The pieces of DDPM++ and NCSN++: their block, NCSN++'s way for the input image into the deeper levels, and
// the features of the noise level.
#pragma once

#include <optional>

#include "cm/nn/block_input.h"
#include "cm/nn/layers.h"
#include "cm/nn/resample.h"

namespace cm {

// min(32, channels/4) groups, ε = 1e−6.
GroupNormOptions song_norm(int64_t channels);

struct SongBlockOptions {
  int64_t in;
  int64_t out;
  int64_t embedding_width;
  Resample resample = Resample::none;
  ResampleFilter filter = ResampleFilter::box;
  int64_t heads = 0;  // of the self-attention at the end; 0: none
  bool scale_shift_norm = false;
  bool double_norm = false;  // of scale and shift
  double dropout = 0;
  int64_t layer = 0;  // the block's number in its network, for the dropout mask
};

// h = (skip(x) + conv1(dropout(silu(norm1(conv0(silu(norm0(x))), embedding))))) / √2, both ways at the new
// resolution; with attention, (h + proj(attention(qkv(norm2(h))))) / √2.
class SongBlockImpl : public torch::nn::Module {
 public:
  SongBlockImpl(Initializer& initializer, const SongBlockOptions& options);
  Tensor forward(const Tensor& x, const BlockInput& input) const;

 private:
  Tensor residual(const Tensor& x, const Tensor& embedding, const std::optional<DropoutKey>& key) const;
  Tensor attended(const Tensor& x) const;

  SongBlockOptions options_;
  GroupNorm norm0_ = nullptr;
  Conv2d conv0_ = nullptr;
  Linear affine_ = nullptr;
  GroupNorm norm1_ = nullptr;
  Conv2d conv1_ = nullptr;
  Conv2d skip_ = nullptr;  // 1×1; absent where channels and resolution stay
  GroupNorm norm2_ = nullptr;
  Conv2d qkv_ = nullptr;
  Conv2d proj_ = nullptr;
};
TORCH_MODULE(SongBlock);

// A 3×3 convolution whose output, two pixels larger than x so that the filter needs no padding of its own, is
// halved by the binomial filter: x [B, in, H, W] → [B, out, H/2, W/2].
class DownConv2dImpl : public torch::nn::Module {
 public:
  DownConv2dImpl(Initializer& initializer, int64_t in, int64_t out);
  Tensor forward(const Tensor& x) const;
  Tensor weight;
  Tensor bias;
};
TORCH_MODULE(DownConv2d);

// c_noise [B] → [B, width], width even: [sin(f c_noise), cos(f c_noise)], in at least fp32, with frequencies
// of either kind:
//   without a scale  f_k = 10000^(−k/(h − 1)), k = 0…h−1, h = width/2 (DDPM++)
//   with one         f = 2π `freqs`, a buffer of h numbers drawn from N(0, scale²) (NCSN++)
class NoiseFeaturesImpl : public torch::nn::Module {
 public:
  NoiseFeaturesImpl(Initializer& initializer, int64_t width, std::optional<double> fourier_scale);
  Tensor forward(const Tensor& c_noise) const;

 private:
  int64_t count_;  // h
  Tensor freqs_;   // undefined without a scale
};
TORCH_MODULE(NoiseFeatures);

}  // namespace cm
