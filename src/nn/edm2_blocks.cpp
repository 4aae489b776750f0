#include "edm2_blocks.h"

#include <torch/csrc/autograd/custom_function.h>

#include "cm/base/dual.h"
#include "cm/kernels/dropout.h"

namespace cm {
namespace {

constexpr BlockNames kEdm2Names = {.in_norm = "",
                                   .in_conv = "conv_res0",
                                   .embedding = "emb_linear",
                                   .out_norm = "",
                                   .out_conv = "conv_res1",
                                   .skip = "conv_skip",
                                   .attention_norm = "",
                                   .qkv = "attn_qkv",
                                   .projection = "attn_proj"};

MpConv2d convolution_at(torch::nn::Module& root, const UNetStage& stage, const char* part,
                        const MpConv2dOptions& options, Initializer& initializer) {
  return register_at(root, stage.name + "." + part, MpConv2d(initializer, options));
}

// LibTorch's clamp keeps what it cuts for its gradient; of this the result tells what was cut, which is kept
// anyway.
struct Clip : torch::autograd::Function<Clip> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, double limit) {
    Tensor y = x.clamp(-limit, limit);
    context->save_for_backward({y});
    context->saved_data["limit"] = limit;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& dy) {
    const Tensor y = context->get_saved_variables()[0].detach();
    return {dy[0] * (y.abs() < context->saved_data["limit"].toDouble()), {}};
  }
};

Tensor clipped(const Tensor& x, double limit) {
  // As a rule nothing is cut, which is seen on the CPU without waiting.
  if (x.is_cpu()) {
    const auto [least, most] = at::aminmax(x.detach().movedim(1, -1));
    if (least.item<double>() > -limit && most.item<double>() < limit) return x;
  }
  return Clip::apply(x, limit);
}

}  // namespace

BlockNames edm2_block_names() {
  return kEdm2Names;
}

Edm2Attention::Edm2Attention(torch::nn::Module& root, const UNetStage& stage, const Edm2Options& options,
                             Initializer& initializer)
    : heads_(stage.heads), sum_(mp_sum(options.attention_balance)) {
  qkv_ = convolution_at(root, stage, kEdm2Names.qkv, {.in = stage.out, .out = 3 * stage.out, .kernel = 1},
                        initializer);
  projection_ =
      convolution_at(root, stage, kEdm2Names.projection,
                     {.in = stage.out, .out = stage.out, .kernel = 1, .gain = sum_.second}, initializer);
}

Tensor Edm2Attention::forward(const Tensor& x) const {
  const Tensor qkv = unit_magnitude(qkv_->forward(x), 3 * heads_);
  return at::add(projection_->forward(attention(qkv, heads_)), x, sum_.first);
}

void Edm2Attention::hold(torch::Dtype type) {
  qkv_->hold(type);
  projection_->hold(type);
}

Edm2Block::Edm2Block(torch::nn::Module& root, const UNetStage& stage, int64_t embedding_width,
                     const Edm2Options& options, int64_t layer, Initializer& initializer)
    : stage_(stage),
      dropout_(dropout_at(options, stage.out_side())),
      layer_(layer),
      sum_(mp_sum(options.residual_balance)),
      clip_(options.clip),
      double_norm_(options.double_norm) {
  const bool encodes = stage.section == UNetStage::Section::encoder;
  const auto convolution = [&](const char* part, const MpConv2dOptions& of) {
    return convolution_at(root, stage, part, of, initializer);
  };
  // The divisor of SiLU and the share of the sum are in the weights behind and before them.
  in_conv_ = convolution(
      kEdm2Names.in_conv,
      {.in = encodes ? stage.out : stage.in, .out = stage.out, .kernel = 3, .gain = 1 / kMpSiluGain});
  embedding_ = register_at(root, stage.name + "." + kEdm2Names.embedding,
                           MpLinear(initializer, embedding_width, stage.out));
  out_conv_ =
      convolution(kEdm2Names.out_conv,
                  {.in = stage.out, .out = stage.out, .kernel = 3, .gain = sum_.second / kMpSiluGain});
  if (stage.in != stage.out)
    skip_ = convolution(kEdm2Names.skip, {.in = stage.in, .out = stage.out, .kernel = 1});
  embedding_gain_ = submodule_at(root, stage.name).register_parameter("emb_gain", torch::zeros({}));
  if (stage.heads > 0) attention_.emplace(root, stage, options, initializer);
}

Tensor Edm2Block::forward(const Tensor& x, const BlockInput& input) const {
  const auto block = [this, keys = input.dropout_keys](const Joined& block_x, const Tensor& embedding) {
    return compute(whole(block_x), embedding, keys);
  };
  return input.checkpoint_activations ? checkpointed(block, x, input.embedding) : block(x, input.embedding);
}

Tensor Edm2Block::compute(const Tensor& x, const Tensor& embedding, const Tensor& keys) const {
  const bool encodes = stage_.section == UNetStage::Section::encoder;
  const auto skipping = [&](const Tensor& h) { return skip_.is_empty() ? h : skip_->forward(h); };
  Tensor h = resample(x, stage_.resample);
  if (encodes) h = unit_magnitude(skipping(h));
  const Tensor branch = residual(h, embedding, keys);
  h = at::add(branch, encodes ? h : skipping(h), sum_.first);
  if (attention_) h = attention_->forward(h);
  if (!clip_) return h;
  return with_differential(
      h, [&](const Tensor& value) { return clipped(value, *clip_); },
      [&](const Tensor& tangent) { return tangent.masked_fill(value_of(h).abs() > *clip_, 0); });
}

Tensor Edm2Block::residual(const Tensor& x, const Tensor& embedding, const Tensor& keys) const {
  Tensor c = (embedding_->forward(embedding, embedding_gain_) + 1).unsqueeze(2).unsqueeze(3);
  if (double_norm_) c = unit_magnitude(c);
  Tensor h = in_conv_->forward(activated(x, Activation::silu));
  const auto times = [](const Tensor& a, const Tensor& b) { return a * b; };
  h = with_tangent_apart(times, h, c.to(h.scalar_type()));
  h = activated(h, Activation::silu);
  return out_conv_->forward(dropout(h, keys, dropout_, layer_));
}

void Edm2Block::hold(torch::Dtype type) {
  for (const auto& convolution : {in_conv_, out_conv_, skip_}) {
    if (!convolution.is_empty()) convolution.ptr()->hold(type);
  }
  if (attention_) attention_->hold(type);
}

}  // namespace cm
