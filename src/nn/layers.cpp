#include "cm/nn/layers.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <numbers>

#include "cm/base/dual.h"
#include "cm/base/random.h"
#include "cm/kernels/convolution.h"
#include "cm/kernels/residual_sum.h"
#include "cm/nn/network.h"
#include "dual_attention.h"

namespace cm {
namespace {

at::Generator generator_of(uint64_t seed, uint32_t tensor) {
  const RandomKey key{.seed = seed, .purpose = Purpose::initial_weights};
  return at::make_generator<at::CPUGeneratorImpl>(key.bits(tensor));
}

double xavier_bound(double gain, int64_t fan_in, int64_t fan_out) {
  return gain * std::sqrt(6 / static_cast<double>(fan_in + fan_out));
}

}  // namespace

Tensor Initializer::uniform(at::IntArrayRef shape, double bound) {
  if (!seed_) return torch::zeros(shape);
  return torch::empty(shape).uniform_(-bound, bound, generator_of(*seed_, next_++));
}

Tensor Initializer::normal(at::IntArrayRef shape) {
  if (!seed_) return torch::zeros(shape);
  return torch::empty(shape).normal_(0, 1, generator_of(*seed_, next_++));
}

LinearImpl::LinearImpl(Initializer& initializer, int64_t in, int64_t out, std::optional<double> xavier_gain) {
  const double bound = 1 / std::sqrt(static_cast<double>(in));
  weight = register_parameter(
      "weight", initializer.uniform({out, in}, xavier_gain ? xavier_bound(*xavier_gain, in, out) : bound));
  bias = register_parameter("bias", initializer.uniform({out}, xavier_gain ? 0 : bound));
}

Tensor LinearImpl::forward(const Tensor& x) const {
  return affine_map(x, weight_for(bias, x), [&](const Tensor& h, const Tensor& added) {
    return torch::linear(h, weight_for(weight, h), added);
  });
}

Tensor weight_for(const Tensor& weight, const Tensor& x) {
  const torch::Dtype type = x.scalar_type();
  return weight.dim() == 4 ? weight_in(type, weight) : weight.to(type);
}

void hold_convolutions(torch::nn::Module& network, const Tensor& last, torch::Dtype type) {
  if (type == last.scalar_type()) return;
  const Tensor like = torch::empty({}, last.options().dtype(type));
  for (const auto& module : network.modules()) {
    for (auto& parameter : module->parameters(/*recurse=*/false)) {
      if (parameter.dim() == 4 && !parameter.is_same(last)) {
        parameter.set_data(weight_for(parameter.detach(), like));
      }
    }
  }
}

Conv2dImpl::Conv2dImpl(Initializer& initializer, const Conv2dOptions& options)
    : stride_(options.stride), padding_(options.kernel / 2) {
  const int64_t area = options.kernel * options.kernel;
  const double bound = options.zero ? 0 : 1 / std::sqrt(static_cast<double>(options.in * area));
  const auto& gain = options.xavier_gain;
  weight = register_parameter(
      "weight",
      initializer.uniform({options.out, options.in, options.kernel, options.kernel},
                          gain ? xavier_bound(*gain, options.in * area, options.out * area) : bound));
  bias = register_parameter("bias", initializer.uniform({options.out}, gain ? 0 : bound));
}

Tensor Conv2dImpl::convolved(const Joined& x, const Tensor& added) const {
  const Tensor w = weight_for(weight, x.first);
  if (stride_ == 1 && w.size(2) == 1) return convolution_1x1(x, w, added);
  if (stride_ == 1 && w.size(2) == 3) return convolution_3x3(whole(x), w, added);
  return affine_map(whole(x), added, [&](const Tensor& h, const Tensor& b) {
    return torch::conv2d(h, w, b, stride_, padding_);
  });
}

Tensor Conv2dImpl::forward(const Tensor& x) const {
  return convolved(x, weight_for(bias, x));
}

Biased Conv2dImpl::without_bias(const Joined& x) const {
  return {convolved(x, {}), bias};
}

Tensor Conv2dImpl::added_to(const Biased& kept, const Tensor& x, double factor) const {
  TORCH_CHECK(stride_ == 1, "a convolution of stride ", stride_, " has no image of its input's side to add");
  const Tensor added = kept.bias.defined() ? kept.bias + bias : bias;
  if (weight.size(2) == 3) {
    return residual_convolution_3x3(kept.image, x, weight_for(weight, x), added, factor);
  }
  return residual_sum(kept.image, {convolved(x, {}), added}, factor);
}

Tensor pixel_norm(const Tensor& x) {
  constexpr double kEpsilon = 1e-8;
  return x * (x.square().mean(1, /*keepdim=*/true) + kEpsilon).rsqrt();
}

GroupNormImpl::GroupNormImpl(int64_t channels, const GroupNormOptions& options) : options_(options) {
  TORCH_CHECK(channels % options.groups == 0, "group normalisation needs a multiple of ", options.groups,
              " channels, got ", channels);
  weight = register_parameter("weight", torch::ones({channels}));
  bias = register_parameter("bias", torch::zeros({channels}));
}

Tensor GroupNormImpl::forward(const NormInput& x) const {
  return normalized(x, Activation::none);
}

Tensor GroupNormImpl::forward(const Biased& x, const Tensor& condition) const {
  return conditioned(x, condition, Activation::none);
}

Tensor GroupNormImpl::forward_silu(const NormInput& x) const {
  return normalized(x, Activation::silu);
}

Tensor GroupNormImpl::forward_silu(const Biased& x, const Tensor& condition) const {
  return conditioned(x, condition, Activation::silu);
}

Tensor GroupNormImpl::normalized(const NormInput& x, Activation activation) const {
  return group_norm(x, parameters(), /*condition=*/{}, activation);
}

Tensor GroupNormImpl::conditioned(const Biased& x, const Tensor& condition, Activation activation) const {
  if (condition.size(1) == x.image.size(1)) {
    return normalized(Biased(x.image, x.bias.defined() ? condition + x.bias : condition), activation);
  }
  if (!options_.double_norm) return group_norm(x, parameters(), condition, activation);
  const bool is_dual = has_tangent(x.image) || has_tangent(x.bias) || has_tangent(condition);
  if (!is_dual) return doubly_normalized(x, condition, activation);
  const Tensor tangent = no_grad([&] {
    const auto scale_shift = condition.chunk(2, 1);
    const Tensor unit = torch::cat({pixel_norm(scale_shift[0]) - 1, pixel_norm(scale_shift[1])}, 1);
    return group_norm_tangent(x, parameters(), unit, activation);
  });
  const Biased value(value_of(x.image), value_of(x.bias));
  return dual(doubly_normalized(value, value_of(condition), activation), tangent);
}

Tensor GroupNormImpl::doubly_normalized(const Biased& x, const Tensor& condition,
                                        Activation activation) const {
  const auto scale_shift = condition.unsqueeze(2).unsqueeze(3).chunk(2, 1);
  const Tensor h = forward({x.image.to(condition.scalar_type()), x.bias});
  return activated(torch::addcmul(pixel_norm(scale_shift[1]), h, pixel_norm(scale_shift[0])), activation)
      .to(x.image.scalar_type());
}

Tensor class_rows(const Tensor& table, const Tensor& labels) {
  const Tensor is_null = labels == kNullClass;
  const Tensor rows = torch::embedding(table, labels.masked_fill(is_null, 0));
  return rows.masked_fill(is_null.unsqueeze(1), 0);
}

EmbeddingImpl::EmbeddingImpl(Initializer& initializer, int64_t count, int64_t width) {
  weight = register_parameter("weight", initializer.normal({count, width}));
}

torch::nn::Module& submodule_at(torch::nn::Module& root, const std::string& name) {
  const size_t dot = name.find('.');
  const std::string head = name.substr(0, dot);
  const auto children = root.named_children();
  const auto* child = children.find(head);
  const auto module = child ? *child : root.register_module(head, std::make_shared<torch::nn::Module>());
  return dot == std::string::npos ? *module : submodule_at(*module, name.substr(dot + 1));
}

Tensor attention(const Tensor& qkv, int64_t heads) {
  const int64_t batch = qkv.size(0);
  const int64_t positions = qkv.size(2) * qkv.size(3);
  // [B, 3C, H, W] → [B, position, q|k|v, head, channel] → of each [B, head, position, channel]: LibTorch's
  // fused kernels want the channels of a head side by side, as they are in channels-last images, and of
  // others it would hold the whole matrix of scores. Unbound, the three gradients come back in one pass, in
  // the order of the image's.
  const auto parts = qkv.contiguous(at::MemoryFormat::ChannelsLast)
                         .permute({0, 2, 3, 1})
                         .reshape({batch, positions, 3, heads, -1})
                         .unbind(2);
  const Tensor mixed =
      dual_attention(parts[0].transpose(1, 2), parts[1].transpose(1, 2), parts[2].transpose(1, 2));
  const Tensor images = mixed.transpose(1, 2).reshape({batch, qkv.size(2), qkv.size(3), qkv.size(1) / 3});
  return images.permute({0, 3, 1, 2});
}

Tensor time_features(const Tensor& time, int64_t width, bool reaching_end) {
  const int64_t half = width / 2;
  const auto divisor = static_cast<double>(reaching_end ? half - 1 : half);
  const Tensor precise = time.to(at::promote_types(time.scalar_type(), at::kFloat));
  const Tensor k = torch::arange(half, precise.options());
  const Tensor frequencies = (k * (-std::log(10000.0) / divisor)).exp();
  const Tensor angles = precise.unsqueeze(1) * frequencies;
  const Tensor features = torch::cat({angles.cos(), angles.sin()}, 1);
  return width % 2 == 0 ? features : torch::constant_pad_nd(features, {0, 1});
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

SecondTimeImpl::SecondTimeImpl(Initializer& initializer, int64_t features, int64_t out,
                               std::optional<double> xavier_gain) {
  const double bound = xavier_gain ? xavier_bound(*xavier_gain, 2 * features, out)
                                   : 1 / std::sqrt(static_cast<double>(2 * features));
  weight = register_parameter("weight", initializer.uniform({out, features}, bound));
}

double joint_gain(int64_t features, int64_t out) {
  return std::sqrt(static_cast<double>(features + out) / static_cast<double>(2 * features + out));
}

}  // namespace cm
