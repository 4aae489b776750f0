// The residual block of EDM2's network (Karras et al. 2024, arXiv 2312.02696, Figure 21). Its layers are
// registered in the network, under the names of the published weights.
#pragma once

#include <optional>

#include "cm/nn/edm2_unet.h"
#include "cm/nn/magnitude_preserving.h"
#include "unet_blocks.h"

namespace cm {

// x + proj(softmax(q k/√d) v), q, k and v = qkv(x) of unit magnitude over each head's channels.
class Edm2Attention {
 public:
  Edm2Attention(torch::nn::Module& root, const UNetStage& stage, const Edm2Options& options,
                Initializer& initializer);
  Tensor forward(const Tensor& x) const;
  void hold(torch::Dtype type);

 private:
  int64_t heads_;
  MpSum sum_;
  MpConv2d qkv_ = nullptr;
  MpConv2d projection_ = nullptr;
};

// The residual branch is conv(dropout(silu(c · conv(silu(x))))), c = 1 + gain · linear(embedding) with a
// learned gain; with double_norm n(c) instead (unit_magnitude), the rule that sCM (arXiv 2410.11081, §4.1)
// gives for a scale and a shift, of which this network has the scale alone. In the encoder a 1×1 convolution,
// where channels change, and a normalisation to unit magnitude come before both branches; in the decoder the
// convolution is on the skipping branch alone. Self-attention at its end where it has heads.
class Edm2Block {
 public:
  // `layer` is the block's number in its network, for the dropout mask.
  Edm2Block(torch::nn::Module& root, const UNetStage& stage, int64_t embedding_width,
            const Edm2Options& options, int64_t layer, Initializer& initializer);
  // x [B, in, H, W] → [B, out, H', W'], its activations kept or recomputed in the backward pass as `input`
  // says.
  Tensor forward(const Tensor& x, const BlockInput& input) const;
  // MpConv2d::hold of its convolutions.
  void hold(torch::Dtype type);

 private:
  Tensor compute(const Tensor& x, const Tensor& embedding, const Tensor& keys) const;
  Tensor residual(const Tensor& x, const Tensor& embedding, const Tensor& keys) const;

  UNetStage stage_;
  double dropout_;
  int64_t layer_;
  MpSum sum_;
  std::optional<double> clip_;
  bool double_norm_;
  Tensor embedding_gain_;  // []
  MpLinear embedding_ = nullptr;
  MpConv2d in_conv_ = nullptr;
  MpConv2d out_conv_ = nullptr;
  MpConv2d skip_ = nullptr;  // absent where channels stay
  std::optional<Edm2Attention> attention_;
};

// What the parts of its blocks are called.
BlockNames edm2_block_names();

}  // namespace cm
