#include "dit_blocks.h"

#include <cmath>

#include "checkpointing.h"
#include "cm/base/dual.h"

namespace cm {
namespace {

constexpr double kSmallDeviation = 0.02;

// [count, width].
Tensor axis_positions(int64_t count, int64_t width, const torch::TensorOptions& options) {
  const torch::TensorOptions precise = options.dtype(torch::kFloat64);
  const int64_t half = width / 2;
  const Tensor frequencies =
      (torch::arange(half, precise) * (-std::log(10000.0) / static_cast<double>(half))).exp();
  const Tensor angles = torch::arange(count, precise).unsqueeze(1) * frequencies;
  return torch::cat({angles.sin(), angles.cos()}, 1).to(options);
}

Tensor small_normal(Initializer& initializer, at::IntArrayRef shape) {
  return kSmallDeviation * initializer.normal(shape);
}

}  // namespace

Tensor token_positions(int64_t rows, int64_t columns, int64_t width, const torch::TensorOptions& options) {
  const std::vector<int64_t> shape = {rows, columns, width / 2};
  const Tensor of_column = axis_positions(columns, width / 2, options).unsqueeze(0).expand(shape);
  const Tensor of_row = axis_positions(rows, width / 2, options).unsqueeze(1).expand(shape);
  return torch::cat({of_column, of_row}, 2).flatten(0, 1);
}

Linear xavier_linear(torch::nn::Module& root, const std::string& name, Initializer& initializer, int64_t in,
                     int64_t out) {
  return register_at(root, name, Linear(initializer, in, out, /*xavier_gain=*/1.0));
}

Linear zero_linear(torch::nn::Module& root, const std::string& name, int64_t in, int64_t out) {
  Initializer zero;
  return register_at(root, name, Linear(zero, in, out));
}

Linear normal_linear(torch::nn::Module& root, const std::string& name, Initializer& initializer, int64_t in,
                     int64_t out) {
  Linear layer = zero_linear(root, name, in, out);
  layer->weight.set_data(small_normal(initializer, {out, in}));
  return layer;
}

void hold_layer(torch::nn::Module& layer, torch::Dtype type) {
  for (auto& parameter : layer.parameters(/*recurse=*/false)) parameter.set_data(parameter.detach().to(type));
}

PatchEmbeddingImpl::PatchEmbeddingImpl(Initializer& initializer, int64_t channels, int64_t patch,
                                       int64_t width) {
  const double bound = std::sqrt(6 / static_cast<double>(channels * patch * patch + width));
  weight = register_parameter("weight", initializer.uniform({width, channels, patch, patch}, bound));
  bias = register_parameter("bias", torch::zeros({width}));
}

Tensor PatchEmbeddingImpl::forward(const Tensor& x) const {
  const int64_t patch = weight.size(2);
  const Tensor pixels = x.unflatten(2, {-1, patch}).unflatten(4, {-1, patch});  // [B, C, rows, p, columns, p]
  const Tensor patches = pixels.permute({0, 2, 4, 1, 3, 5}).flatten(3).flatten(1, 2);
  return torch::linear(patches, weight_for(weight.flatten(1), x), weight_for(bias, x));
}

LabelTableImpl::LabelTableImpl(Initializer& initializer, int64_t classes, int64_t width) {
  weight = register_parameter("weight", small_normal(initializer, {classes + 1, width}));
}

Tensor LabelTableImpl::forward(const Tensor& labels) const {
  const int64_t classes = weight.size(0) - 1;
  const Tensor is_null = (labels == kNullClass).unsqueeze(1);
  return torch::where(is_null, weight[classes], class_rows(weight.narrow(0, 0, classes), labels));
}

TimeEmbedding::TimeEmbedding(torch::nn::Module& root, const std::string& name, const DitOptions& options,
                             Initializer& initializer)
    : reaching_end_(options.diffusers),
      in_(normal_linear(root, name + ".mlp.0", initializer, kDitTimeFeatures, options.width)),
      out_(normal_linear(root, name + ".mlp.2", initializer, options.width, options.width)) {}

Tensor TimeEmbedding::forward(const Tensor& time) const {
  const Tensor features = time_features(time, kDitTimeFeatures, reaching_end_);
  return out_->forward(activated(in_->forward(features), Activation::silu));
}

Tensor modulated_norm(const Tensor& x, const Tensor& shift, const Tensor& scale, double epsilon) {
  const auto modulated = [epsilon](const Tensor& tokens, const Tensor& added, const Tensor& factor) {
    const Tensor normal = torch::layer_norm(tokens, {tokens.size(2)}, {}, {}, epsilon);
    const torch::Dtype type = tokens.scalar_type();
    return torch::addcmul(added.to(type), normal, (1 + factor).to(type));
  };
  return with_tangent_apart(modulated, x, shift, scale);
}

DitBlock::DitBlock(torch::nn::Module& root, const std::string& name, const DitOptions& options,
                   Initializer& initializer)
    : heads_(options.heads),
      checkpoints_(options.activation_checkpointing),
      second_epsilon_(options.diffusers ? kDiffusersTokenEpsilon : kDitTokenEpsilon) {
  const int64_t width = options.width;
  const int64_t hidden = mlp_width(options);
  const auto linear = [&](const char* part, int64_t in, int64_t out) {
    return xavier_linear(root, name + part, initializer, in, out);
  };
  qkv_ = linear(".attn.qkv", width, 3 * width);
  projection_ = linear(".attn.proj", width, width);
  mlp_in_ = linear(".mlp.fc1", width, hidden);
  mlp_out_ = linear(".mlp.fc2", hidden, width);
  modulation_ = zero_linear(root, name + ".adaLN_modulation.1", width, 6 * width);
}

Tensor DitBlock::forward(const Tensor& x, const Tensor& condition) const {
  const auto block = [this](const Joined& tokens, const Tensor& told) {
    return compute(whole(tokens), told);
  };
  return checkpoints_ ? checkpointed(block, x, condition) : block(x, condition);
}

Tensor DitBlock::compute(const Tensor& x, const Tensor& condition) const {
  const auto numbers = modulation_->forward(condition).unsqueeze(1).chunk(6, 2);
  const auto gated = [](const Tensor& to, const Tensor& gate, const Tensor& branch) {
    const auto sum = [](const Tensor& a, const Tensor& b, const Tensor& c) {
      return torch::addcmul(a, b.to(a.scalar_type()), c);
    };
    return with_tangent_apart(sum, to, gate, branch);
  };
  const Tensor h = gated(x, numbers[2], attended(modulated_norm(x, numbers[0], numbers[1])));
  Tensor hidden = mlp_in_->forward(modulated_norm(h, numbers[3], numbers[4], second_epsilon_));
  hidden = with_tangent_apart([](const Tensor& any) { return torch::gelu(any, "tanh"); }, hidden);
  return gated(h, numbers[5], mlp_out_->forward(hidden));
}

// The shared attention takes images: the tokens as one of a column.
Tensor DitBlock::attended(const Tensor& x) const {
  const Tensor qkv = qkv_->forward(x).transpose(1, 2).unsqueeze(3);
  return projection_->forward(attention(qkv, heads_).squeeze(3).transpose(1, 2));
}

void DitBlock::hold(torch::Dtype type) {
  for (auto layer : {qkv_, projection_, mlp_in_, mlp_out_}) hold_layer(*layer, type);
}

}  // namespace cm
