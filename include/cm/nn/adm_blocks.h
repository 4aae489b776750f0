// The pieces of the ADM U-Net: residual block, self-attention, resampling, and the stage that chains them.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "cm/nn/block_input.h"
#include "cm/nn/layers.h"
#include "cm/nn/resample.h"

namespace cm {

struct ResBlockOptions {
  int64_t in;
  int64_t out;
  int64_t embedding_width;
  Resample resample = Resample::none;
  bool scale_shift_norm = true;
  bool double_norm = false;  // of scale and shift
  double dropout = 0;
  int64_t layer = 0;  // the block's number in its network, for the dropout mask
};

// skip(x) + conv(dropout(silu(film(norm(conv(silu(norm(x))))))), the inner part at the new resolution; the
// embedding scales and shifts after the second norm, or is added before it.
class ResBlockImpl : public torch::nn::Module {
 public:
  ResBlockImpl(Initializer& initializer, const ResBlockOptions& options);
  Tensor forward(const Tensor& x, const BlockInput& input) const;

 private:
  Tensor compute(const Tensor& x, const Tensor& embedding, const std::optional<DropoutKey>& key) const;

  ResBlockOptions options_;
  GroupNorm in_norm_ = nullptr;
  Conv2d in_conv_ = nullptr;
  Linear embedding_ = nullptr;
  GroupNorm out_norm_ = nullptr;
  Conv2d out_conv_ = nullptr;
  Conv2d skip_ = nullptr;  // absent where the channels stay
};
TORCH_MODULE(ResBlock);

// x + proj(attention(qkv(norm(x)))).
class AttentionImpl : public torch::nn::Module {
 public:
  AttentionImpl(Initializer& initializer, int64_t channels, int64_t heads);
  Tensor forward(const Tensor& x) const;

 private:
  int64_t heads_;
  GroupNorm norm_ = nullptr;
  Conv2d qkv_ = nullptr;
  Conv2d proj_out_ = nullptr;
};
TORCH_MODULE(Attention);

// Plain resampling, with a convolution after going up ("conv") or a strided one for going down ("op") if
// wanted.
class ResamplingImpl : public torch::nn::Module {
 public:
  ResamplingImpl(Initializer& initializer, int64_t channels, Resample direction, bool with_conv);
  Tensor forward(const Tensor& x) const;

 private:
  Resample direction_;
  Conv2d conv_ = nullptr;
};
TORCH_MODULE(Resampling);

// Layers in a row, numbered from 0 in the parameter names.
class StageImpl : public torch::nn::Module {
 public:
  void add_conv(Conv2d layer) { add(std::move(layer)); }
  void add_res_block(ResBlock layer) { add(std::move(layer)); }
  void add_attention(Attention layer) { add(std::move(layer)); }
  void add_resampling(Resampling layer) { add(std::move(layer)); }
  Tensor forward(const Tensor& x, const BlockInput& input) const;

 private:
  template <class Layer>
  void add(Layer layer) {
    layers_.emplace_back(register_module(std::to_string(layers_.size()), std::move(layer)));
  }

  std::vector<std::variant<Conv2d, ResBlock, Attention, Resampling>> layers_;
};
TORCH_MODULE(Stage);

}  // namespace cm
