// The blocks of U-Nets, whose style an architecture chooses (cm/nn/unet_plan.h). Their layers are registered
// in the network, under dotted names that equal those of the published weights.
#pragma once

#include <optional>

#include "checkpointing.h"
#include "cm/nn/layers.h"
#include "cm/nn/unet_plan.h"

namespace cm {

// A convolution in the initial weights of the style; `gain` is Glorot's, or kEndGain at the end of a branch.
inline constexpr double kEndGain = 1e-5;
Conv2d styled_convolution(const UNetStyle& style, Initializer& initializer, Conv2dOptions options,
                          double gain = 1);

// The style's normalisation of so many channels.
GroupNormOptions styled_norm(const UNetStyle& style, int64_t channels);

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

// The same for every block of one forward pass.
struct BlockInput {
  Tensor embedding;  // [B, embedding width]: time, plus class, after SiLU
  Tensor dropout_keys = {};
  bool checkpoint_activations = false;
};

// x + proj(attention(qkv(norm(x)))), by the style divided by √2.
class AttentionBlock {
 public:
  AttentionBlock(torch::nn::Module& root, const std::string& name, const UNetStyle& style,
                 Initializer& initializer, int64_t channels, int64_t heads);
  Tensor forward(const Tensor& x) const;

 private:
  int64_t heads_;
  double factor_;  // of the sum
  GroupNorm norm_ = nullptr;
  Conv2d qkv_ = nullptr;
  Conv2d projection_ = nullptr;
};

struct ResidualOptions {
  UNetStage stage;  // in, out, resample and heads
  int64_t embedding_width;
  bool scale_shift_norm = true;
  bool double_norm = false;  // of scale and shift
  double dropout = 0;
  int64_t layer = 0;  // the block's number in its network, for the dropout mask
};

// skip(x) + conv(dropout(silu(film(norm(conv(silu(norm(x)))))), both ways at the new resolution, by the style
// divided by √2; the embedding scales and shifts after the second norm, or is added before it. Self-attention
// at its end where it has heads.
class ResidualBlock {
 public:
  ResidualBlock(torch::nn::Module& root, const UNetStyle& style, Initializer& initializer,
                const ResidualOptions& options);
  // x [B, in, H, W], with what a skip connection brings beside it, → [B, out, H', W'], its activations kept
  // or recomputed in the backward pass as `input` says.
  Tensor forward(const Joined& x, const BlockInput& input) const;

 private:
  Tensor compute(const Joined& x, const Tensor& embedding, const Tensor& keys) const;

  ResidualOptions options_;
  ResampleFilter filter_;
  double factor_;  // of the sum
  GroupNorm in_norm_ = nullptr;
  Conv2d in_conv_ = nullptr;
  Linear embedding_ = nullptr;
  GroupNorm out_norm_ = nullptr;
  Conv2d out_conv_ = nullptr;
  Conv2d skip_ = nullptr;  // 1×1; absent where what skips stays as it is
  std::optional<AttentionBlock> attention_;
};

}  // namespace cm
