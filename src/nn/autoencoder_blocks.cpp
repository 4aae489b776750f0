#include "autoencoder_blocks.h"

#include "cm/base/text.h"
#include "cm/kernels/convolution.h"
#include "cm/nn/resample.h"

namespace cm {
namespace {

constexpr double kEpsilon = 1e-6;

Conv2d zero_convolution(torch::nn::Module& root, const std::string& name, const Conv2dOptions& options) {
  Initializer zero;
  return register_at(root, name, Conv2d(zero, options));
}

GroupNorm normalisation(torch::nn::Module& root, const std::string& name, int64_t channels, int64_t groups) {
  return register_at(root, name,
                     GroupNorm(channels, GroupNormOptions{.groups = groups, .epsilon = kEpsilon}));
}

class LatentBlock {
 public:
  LatentBlock(torch::nn::Module& root, const std::string& name, int64_t groups, int64_t in, int64_t out)
      : in_norm_(normalisation(root, name + ".norm1", in, groups)),
        in_conv_(zero_convolution(root, name + ".conv1", {.in = in, .out = out})),
        out_norm_(normalisation(root, name + ".norm2", out, groups)),
        out_conv_(zero_convolution(root, name + ".conv2", {.in = out, .out = out})) {
    if (in != out) {
      skip_ = zero_convolution(root, name + ".conv_shortcut", {.in = in, .out = out, .kernel = 1});
    }
  }

  // One step a line: what a step has taken is freed before the next.
  Tensor operator()(const Tensor& x) const {
    Tensor h = in_norm_->forward_silu(x);
    Biased inner = in_conv_->without_bias(h);
    h = out_norm_->forward_silu(inner);
    inner.image.reset();
    return out_conv_->added_to(skip_.is_empty() ? x : skip_->without_bias(x), h);
  }

 private:
  GroupNorm in_norm_;
  Conv2d in_conv_;
  GroupNorm out_norm_;
  Conv2d out_conv_;
  Conv2d skip_ = nullptr;
};

// One head over all positions.
class LatentAttention {
 public:
  LatentAttention(torch::nn::Module& root, const std::string& name, int64_t groups, int64_t channels)
      : norm_(normalisation(root, name + ".group_norm", channels, groups)) {
    const auto linear = [&](const char* part) {
      Initializer zero;
      return register_at(root, name + part, Linear(zero, channels, channels));
    };
    q_ = linear(".to_q");
    k_ = linear(".to_k");
    v_ = linear(".to_v");
    out_ = linear(".to_out.0");
  }

  Tensor operator()(const Tensor& x) const {
    const Tensor rows = norm_->forward(x).permute({0, 2, 3, 1});  // [B, H, W, C]
    const Tensor tokens = rows.flatten(1, 2).unsqueeze(1);        // [B, head, position, C]
    const Tensor mixed =
        at::scaled_dot_product_attention(q_->forward(tokens), k_->forward(tokens), v_->forward(tokens));
    return x + out_->forward(mixed).reshape(rows.sizes()).permute({0, 3, 1, 2});
  }

 private:
  GroupNorm norm_;
  Linear q_ = nullptr;
  Linear k_ = nullptr;
  Linear v_ = nullptr;
  Linear out_ = nullptr;
};

// Half the side, by a 3 × 3 convolution with one row and one column of zeros behind the last. With two on
// every side its first row and column are not among those wanted, and no padded copy is made.
Tensor down(const Conv2d& convolution, const Tensor& x) {
  const Tensor y = torch::conv2d(x, weight_for(convolution->weight, x), weight_for(convolution->bias, x),
                                 /*stride=*/2, /*padding=*/2);
  return in_convolution_layout(y.narrow(2, 1, x.size(2) / 2).narrow(3, 1, x.size(3) / 2));
}

}  // namespace

AutoencoderHalf::AutoencoderHalf(const AutoencoderOptions& options, int64_t in, int64_t first, int64_t last,
                                 int64_t out)
    : groups_(options.groups),
      mid_attention_(options.mid_attention),
      in_conv_(zero_convolution(*this, "conv_in", {.in = in, .out = first})),
      out_norm_(normalisation(*this, "conv_norm_out", last, groups_)),
      out_conv_(zero_convolution(*this, "conv_out", {.in = last, .out = out})) {}

Tensor AutoencoderHalf::forward(const Tensor& x, torch::Dtype type) const {
  Tensor h = in_conv_->forward(in_convolution_layout(x.to(type)));
  for (const auto& layer : layers_) h = layer(h);
  h = out_norm_->forward_silu(h.to(torch::kFloat32));
  return out_conv_->forward(h);
}

void AutoencoderHalf::hold(torch::Dtype type) {
  hold_convolutions(*this, out_conv_->weight, type);
}

void AutoencoderHalf::add_blocks(const std::string& level, int64_t count, int64_t in, int64_t out) {
  for (int64_t i = 0; i < count; ++i) {
    layers_.emplace_back(LatentBlock(*this, concat(level, ".resnets.", i), groups_, i == 0 ? in : out, out));
  }
}

void AutoencoderHalf::add_middle(int64_t channels) {
  layers_.emplace_back(LatentBlock(*this, "mid_block.resnets.0", groups_, channels, channels));
  if (mid_attention_) {
    layers_.emplace_back(LatentAttention(*this, "mid_block.attentions.0", groups_, channels));
  }
  layers_.emplace_back(LatentBlock(*this, "mid_block.resnets.1", groups_, channels, channels));
}

void AutoencoderHalf::add_down(const std::string& name, int64_t channels) {
  const Conv2d convolution = zero_convolution(*this, name, {.in = channels, .out = channels, .stride = 2});
  layers_.emplace_back([convolution](const Tensor& x) { return down(convolution, x); });
}

void AutoencoderHalf::add_up(const std::string& name, int64_t channels) {
  const Conv2d convolution = zero_convolution(*this, name, {.in = channels, .out = channels});
  layers_.emplace_back(
      [convolution](const Tensor& x) { return convolution->forward(resample(x, Resample::up)); });
}

AutoencoderEncoder::AutoencoderEncoder(const AutoencoderOptions& options)
    : AutoencoderHalf(options, options.channels, options.block_channels.front(),
                      options.block_channels.back(), 2 * options.latent_channels) {
  int64_t channels = options.block_channels.front();
  for (size_t level = 0; level < options.block_channels.size(); ++level) {
    const std::string name = concat("down_blocks.", level);
    add_blocks(name, options.blocks, channels, options.block_channels[level]);
    channels = options.block_channels[level];
    if (level + 1 < options.block_channels.size()) add_down(name + ".downsamplers.0.conv", channels);
  }
  add_middle(channels);
}

AutoencoderDecoder::AutoencoderDecoder(const AutoencoderOptions& options)
    : AutoencoderHalf(options, options.latent_channels, options.block_channels.back(),
                      options.block_channels.front(), options.channels) {
  const size_t levels = options.block_channels.size();
  int64_t channels = options.block_channels.back();
  add_middle(channels);
  for (size_t level = 0; level < levels; ++level) {
    const std::string name = concat("up_blocks.", level);
    const int64_t out = options.block_channels[levels - 1 - level];
    add_blocks(name, options.blocks + 1, channels, out);
    channels = out;
    if (level + 1 < levels) add_up(name + ".upsamplers.0.conv", channels);
  }
}

}  // namespace cm
