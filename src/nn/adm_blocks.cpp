#include "cm/nn/adm_blocks.h"

#include "cm/nn/checkpointing.h"

namespace cm {

Tensor resample(const Tensor& x, Resample direction) {
  switch (direction) {
    case Resample::none:
      return x;
    case Resample::up:
      return at::upsample_nearest2d(x, at::IntArrayRef{2 * x.size(2), 2 * x.size(3)});
    case Resample::down:
      return at::avg_pool2d(x, 2);
  }
  TORCH_INTERNAL_ASSERT(false, "not a direction");
}

ResBlockImpl::ResBlockImpl(Initializer& initializer, const ResBlockOptions& options) : options_(options) {
  const int64_t film = options.scale_shift_norm ? 2 * options.out : options.out;
  auto in_layers = register_module("in_layers", Indexed());
  in_norm_ = in_layers->add(0, GroupNorm(options.in));
  in_conv_ = in_layers->add(2, Conv2d(initializer, Conv2dOptions{.in = options.in, .out = options.out}));
  embedding_ =
      register_module("emb_layers", Indexed())->add(1, Linear(initializer, options.embedding_width, film));
  auto out_layers = register_module("out_layers", Indexed());
  out_norm_ = out_layers->add(0, GroupNorm(options.out));
  out_conv_ = out_layers->add(
      3, Conv2d(initializer, Conv2dOptions{.in = options.out, .out = options.out, .zero = true}));
  if (options.in != options.out) {
    skip_ = register_module(
        "skip_connection",
        Conv2d(initializer, Conv2dOptions{.in = options.in, .out = options.out, .kernel = 1}));
  }
}

Tensor ResBlockImpl::forward(const Tensor& x, const BlockInput& input) const {
  if (!input.checkpoint_activations) return compute(x, input.embedding, input.dropout_key);
  const auto block = [this, key = input.dropout_key](const Tensor& block_x, const Tensor& embedding) {
    return compute(block_x, embedding, key);
  };
  return checkpointed(block, x, input.embedding);
}

Tensor ResBlockImpl::compute(const Tensor& x, const Tensor& embedding,
                             const std::optional<DropoutKey>& key) const {
  Tensor h = resample(torch::silu(in_norm_->forward(x)), options_.resample);
  h = in_conv_->forward(h);
  const Tensor film = embedding_->forward(torch::silu(embedding)).unsqueeze(2).unsqueeze(3);
  if (options_.scale_shift_norm) {
    const auto scale_shift = film.chunk(2, 1);
    h = torch::addcmul(scale_shift[1], out_norm_->forward(h), 1 + scale_shift[0]);
  } else {
    h = out_norm_->forward(h + film);
  }
  h = out_conv_->forward(dropout(torch::silu(h), options_.dropout, key, options_.layer));
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
  const int64_t batch = x.size(0);
  const int64_t positions = x.size(2) * x.size(3);
  // [B, 3C, H, W] → three times [B, head, position, d]
  const Tensor qkv =
      qkv_->forward(norm_->forward(x)).reshape({batch, 3, heads_, -1, positions}).transpose(3, 4);
  const Tensor mixed = at::scaled_dot_product_attention(qkv.select(1, 0), qkv.select(1, 1), qkv.select(1, 2));
  return x + proj_out_->forward(mixed.transpose(2, 3).reshape(x.sizes()));
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
