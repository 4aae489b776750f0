#include "cm/nn/adm_blocks.h"

namespace cm {

ResBlockImpl::ResBlockImpl(Initializer& initializer, const ResBlockOptions& options) : options_(options) {
  const int64_t film = options.scale_shift_norm ? 2 * options.out : options.out;
  auto in_layers = register_module("in_layers", Indexed());
  in_norm_ = in_layers->add(0, GroupNorm(options.in));
  in_conv_ = in_layers->add(2, Conv2d(initializer, Conv2dOptions{.in = options.in, .out = options.out}));
  embedding_ =
      register_module("emb_layers", Indexed())->add(1, Linear(initializer, options.embedding_width, film));
  auto out_layers = register_module("out_layers", Indexed());
  out_norm_ =
      out_layers->add(0, GroupNorm(options.out, GroupNormOptions{.double_norm = options.double_norm}));
  out_conv_ = out_layers->add(
      3, Conv2d(initializer, Conv2dOptions{.in = options.out, .out = options.out, .zero = true}));
  if (options.in != options.out) {
    skip_ = register_module(
        "skip_connection",
        Conv2d(initializer, Conv2dOptions{.in = options.in, .out = options.out, .kernel = 1}));
  }
}

Tensor ResBlockImpl::forward(const Tensor& x, const BlockInput& input) const {
  const auto block = [this, key = input.dropout_key](const Tensor& block_x, const Tensor& embedding) {
    return compute(block_x, embedding, key);
  };
  return run_block(block, x, input);
}

Tensor ResBlockImpl::compute(const Tensor& x, const Tensor& embedding,
                             const std::optional<DropoutKey>& key) const {
  Tensor h = resample(in_norm_->forward_silu(x), options_.resample);
  h = in_conv_->forward(h);
  h = out_norm_->forward_silu(h, embedding_->forward(embedding));
  h = out_conv_->forward(dropout(h, options_.dropout, key, options_.layer));
  const Tensor kept = resample(x, options_.resample);
  return (skip_.is_empty() ? kept : skip_->forward(kept)) + h;
}

AttentionImpl::AttentionImpl(Initializer& initializer, int64_t channels, int64_t heads) : heads_(heads) {
  norm_ = register_module("norm", GroupNorm(channels));
  qkv_ = register_module(
      "qkv", Conv2d(initializer, Conv2dOptions{.in = channels, .out = 3 * channels, .kernel = 1}));
  proj_out_ = register_module(
      "proj_out",
      Conv2d(initializer, Conv2dOptions{.in = channels, .out = channels, .kernel = 1, .zero = true}));
}

Tensor AttentionImpl::forward(const Tensor& x) const {
  return x + proj_out_->forward(attention(qkv_->forward(norm_->forward(x)), heads_));
}

ResamplingImpl::ResamplingImpl(Initializer& initializer, int64_t channels, Resample direction, bool with_conv)
    : direction_(direction) {
  if (!with_conv) return;
  const bool down = direction == Resample::down;
  conv_ = register_module(
      down ? "op" : "conv",
      Conv2d(initializer, Conv2dOptions{.in = channels, .out = channels, .stride = down ? 2 : 1}));
}

Tensor ResamplingImpl::forward(const Tensor& x) const {
  if (conv_.is_empty()) return resample(x, direction_);
  return conv_->forward(direction_ == Resample::up ? resample(x, direction_) : x);
}

Tensor StageImpl::forward(const Tensor& x, const BlockInput& input) const {
  Tensor h = x;
  for (const auto& layer : layers_) {
    if (const auto* block = std::get_if<ResBlock>(&layer)) {
      h = (*block)->forward(h, input);
    } else if (const auto* attention = std::get_if<Attention>(&layer)) {
      h = (*attention)->forward(h);
    } else if (const auto* resampling = std::get_if<Resampling>(&layer)) {
      h = (*resampling)->forward(h);
    } else {
      h = std::get<Conv2d>(layer)->forward(h);
    }
  }
  return h;
}

}  // namespace cm
