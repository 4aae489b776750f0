#include "unet_blocks.h"

#include <cmath>
#include <numbers>

#include "cm/base/dual.h"
#include "cm/kernels/dropout.h"

namespace cm {
namespace {

const double kQkvGain = std::sqrt(0.2);

// Of the sum of two branches of equal variance; halving it keeps that.
double factor_of(const UNetStyle& style) {
  return style.halves_variance ? 1 / std::numbers::sqrt2 : 1;
}

}  // namespace

Conv2d styled_convolution(const UNetStyle& style, Initializer& initializer, Conv2dOptions options,
                          double gain) {
  options.zero = !style.glorot && gain == kEndGain;
  if (style.glorot) options.xavier_gain = gain;
  return Conv2d(initializer, options);
}

GroupNormOptions styled_norm(const UNetStyle& style, int64_t channels) {
  return {.groups = style.groups(channels), .epsilon = style.epsilon};
}

DownConv2dImpl::DownConv2dImpl(Initializer& initializer, int64_t in, int64_t out) {
  const Conv2d conv(initializer, Conv2dOptions{.in = in, .out = out, .xavier_gain = 1});
  weight = register_parameter("weight", conv->weight);
  bias = register_parameter("bias", conv->bias);
}

Tensor DownConv2dImpl::forward(const Tensor& x) const {
  const Tensor w = weight_for(weight, x);
  return affine_map(x, weight_for(bias, x), [&](const Tensor& image, const Tensor& added) {
    return binomial_down(torch::conv2d(image, w, added, /*stride=*/1, /*padding=*/2), /*padding=*/0);
  });
}

AttentionBlock::AttentionBlock(torch::nn::Module& root, const std::string& name, const UNetStyle& style,
                               Initializer& initializer, int64_t channels, int64_t heads)
    : heads_(heads), factor_(factor_of(style)) {
  const auto conv = [&](const char* part, int64_t out, double gain) {
    return register_at(
        root, name + "." + part,
        styled_convolution(style, initializer, {.in = channels, .out = out, .kernel = 1}, gain));
  };
  norm_ = register_at(root, name + "." + style.names.attention_norm,
                      GroupNorm(channels, styled_norm(style, channels)));
  qkv_ = conv(style.names.qkv, 3 * channels, kQkvGain);
  projection_ = conv(style.names.projection, channels, kEndGain);
}

Tensor AttentionBlock::forward(const Tensor& x) const {
  const Tensor mixed = attention(qkv_->forward(norm_->forward(x)), heads_);
  return projection_->added_to(x, mixed, factor_);
}

ResidualBlock::ResidualBlock(torch::nn::Module& root, const UNetStyle& style, Initializer& initializer,
                             const ResidualOptions& options)
    : options_(options), filter_(style.filter), factor_(factor_of(style)) {
  const UNetStage& stage = options.stage;
  const auto part = [&](const char* name, auto module) {
    return register_at(root, stage.name + "." + name, std::move(module));
  };
  const auto conv = [&](int64_t in, int64_t kernel, double gain) {
    return styled_convolution(style, initializer, {.in = in, .out = stage.out, .kernel = kernel}, gain);
  };
  const int64_t condition = options.scale_shift_norm ? 2 * stage.out : stage.out;
  in_norm_ = part(style.names.in_norm, GroupNorm(stage.in, styled_norm(style, stage.in)));
  in_conv_ = part(style.names.in_conv, conv(stage.in, 3, 1));
  embedding_ = part(style.names.embedding, Linear(initializer, options.embedding_width, condition,
                                                  style.glorot ? std::optional(1.0) : std::nullopt));
  GroupNormOptions conditioned = styled_norm(style, stage.out);
  conditioned.double_norm = options.double_norm;
  out_norm_ = part(style.names.out_norm, GroupNorm(stage.out, conditioned));
  out_conv_ = part(style.names.out_conv, conv(stage.out, 3, kEndGain));
  if (has_skip_convolution(stage, style)) skip_ = part(style.names.skip, conv(stage.in, 1, 1));
  if (stage.heads > 0) attention_.emplace(root, stage.name, style, initializer, stage.out, stage.heads);
}

Tensor ResidualBlock::forward(const Joined& x, const BlockInput& input) const {
  const auto block = [this, keys = input.dropout_keys](const Joined& block_x, const Tensor& embedding) {
    const Tensor h = compute(block_x, embedding, keys);
    return attention_ ? attention_->forward(h) : h;
  };
  return input.checkpoint_activations ? checkpointed(block, x, input.embedding) : block(x, input.embedding);
}

Tensor ResidualBlock::compute(const Joined& x, const Tensor& embedding, const Tensor& keys) const {
  const auto resampled = [&](const Joined& h) -> Joined {
    const Resample direction = options_.stage.resample;
    return direction == Resample::none ? h : resample(whole(h), direction, filter_);
  };
  // Called where it is taken, so that it is freed right after; so are the steps behind it.
  const auto inner = [&] { return in_conv_->without_bias(resampled(in_norm_->forward_silu(x))); };
  Tensor h = out_norm_->forward_silu(inner(), embedding_->forward(embedding));
  h = dropout(h, keys, options_.dropout, options_.layer);
  const auto skipped = [&]() -> Biased {
    const Joined kept = resampled(x);
    return skip_.is_empty() ? whole(kept) : skip_->without_bias(kept);
  };
  return out_conv_->added_to(skipped(), h, factor_);
}

}  // namespace cm
