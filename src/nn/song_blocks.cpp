#include "cm/nn/song_blocks.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cm {
namespace {

// The sum of two branches of equal variance keeps it.
constexpr double kSkipScale = 1 / std::numbers::sqrt2;

// Gains of the initial weights: close to 0 where a branch ends.
constexpr double kLastGain = 1e-5;
const double kQkvGain = std::sqrt(0.2);

}  // namespace

GroupNormOptions song_norm(int64_t channels) {
  return {.groups = std::min<int64_t>(32, channels / 4), .epsilon = 1e-6};
}

SongBlockImpl::SongBlockImpl(Initializer& initializer, const SongBlockOptions& options) : options_(options) {
  const auto norm = [&](const char* name, int64_t channels) {
    return register_module(name, GroupNorm(channels, song_norm(channels)));
  };
  const auto conv = [&](const char* name, const Conv2dOptions& conv_options) {
    return register_module(name, Conv2d(initializer, conv_options));
  };
  const auto [in, out] = std::pair(options.in, options.out);
  norm0_ = norm("norm0", in);
  conv0_ = conv("conv0", {.in = in, .out = out, .xavier_gain = 1});
  affine_ = register_module(
      "affine", Linear(initializer, options.embedding_width, options.scale_shift_norm ? 2 * out : out, 1));
  GroupNormOptions conditioned = song_norm(out);
  conditioned.double_norm = options.double_norm;
  norm1_ = register_module("norm1", GroupNorm(out, conditioned));
  conv1_ = conv("conv1", {.in = out, .out = out, .xavier_gain = kLastGain});
  if (in != out || options.resample != Resample::none)
    skip_ = conv("skip", {.in = in, .out = out, .kernel = 1, .xavier_gain = 1});
  if (options.heads > 0) {
    norm2_ = norm("norm2", out);
    qkv_ = conv("qkv", {.in = out, .out = 3 * out, .kernel = 1, .xavier_gain = kQkvGain});
    proj_ = conv("proj", {.in = out, .out = out, .kernel = 1, .xavier_gain = kLastGain});
  }
}

Tensor SongBlockImpl::forward(const Tensor& x, const BlockInput& input) const {
  const auto block = [this, key = input.dropout_key](const Tensor& block_x, const Tensor& embedding) {
    const Tensor h = residual(block_x, embedding, key);
    return qkv_.is_empty() ? h : attended(h);
  };
  return run_block(block, x, input);
}

Tensor SongBlockImpl::residual(const Tensor& x, const Tensor& embedding,
                               const std::optional<DropoutKey>& key) const {
  const auto resampled = [&](const Tensor& h) { return resample(h, options_.resample, options_.filter); };
  Tensor h = conv0_->forward(resampled(norm0_->forward_silu(x)));
  h = norm1_->forward_silu(h, affine_->forward(embedding));
  h = conv1_->forward(dropout(h, options_.dropout, key, options_.layer));
  return ((skip_.is_empty() ? x : skip_->forward(resampled(x))) + h) * kSkipScale;
}

Tensor SongBlockImpl::attended(const Tensor& x) const {
  return (x + proj_->forward(attention(qkv_->forward(norm2_->forward(x)), options_.heads))) * kSkipScale;
}

DownConv2dImpl::DownConv2dImpl(Initializer& initializer, int64_t in, int64_t out) {
  const Conv2d conv(initializer, Conv2dOptions{.in = in, .out = out, .xavier_gain = 1});
  weight = register_parameter("weight", conv->weight);
  bias = register_parameter("bias", conv->bias);
}

Tensor DownConv2dImpl::forward(const Tensor& x) const {
  const Tensor h = torch::conv2d(x, weight_for(weight, x), weight_for(bias, x), /*stride=*/1, /*padding=*/2);
  return binomial_down(h, /*padding=*/0);
}

NoiseFeaturesImpl::NoiseFeaturesImpl(Initializer& initializer, int64_t width,
                                     std::optional<double> fourier_scale)
    : count_(width / 2) {
  if (fourier_scale) freqs_ = register_buffer("freqs", initializer.normal({count_}) * *fourier_scale);
}

Tensor NoiseFeaturesImpl::forward(const Tensor& c_noise) const {
  const Tensor time = c_noise.to(at::promote_types(c_noise.scalar_type(), at::kFloat));
  const auto positional = [&] {
    const Tensor k = torch::arange(count_, time.options());
    return (k * (-std::log(10000.0) / static_cast<double>(count_ - 1))).exp();
  };
  const Tensor frequencies = freqs_.defined() ? 2 * std::numbers::pi * freqs_ : positional();
  const Tensor angles = time.unsqueeze(1) * frequencies;
  return torch::cat({angles.sin(), angles.cos()}, 1);
}

}  // namespace cm
