#include "cm/nn/edm2_unet.h"

#include <algorithm>
#include <numbers>
#include <utility>

#include "cm/base/text.h"
#include "edm2_blocks.h"
#include "edm_names.h"
#include "unet.h"
#include "unet_inference.h"

namespace cm {
namespace {

constexpr const char* kSecondTimeGain = "second_time_gain";

class Edm2UNet : public Network {
 public:
  Edm2UNet(const Edm2Options& options, const ImageSpec& image, Initializer& initializer)
      : plan_(plan_of(options, image)), options_(options), image_(image) {
    register_embedding(initializer);
    int64_t blocks = 0;
    for (const auto& stage : plan_.stages) {
      if (stage.kind == UNetStage::Kind::convolution) {
        in_conv_ =
            register_at(*this, stage.name, MpConv2d(initializer, MpConv2dOptions{stage.in, stage.out}));
      } else {
        blocks_.emplace_back(*this, stage, plan_.embedding_width, options, blocks++, initializer);
      }
    }
    out_conv_ = register_at(
        *this, plan_.output_conv,
        MpConv2d(initializer, MpConv2dOptions{.in = plan_.stages.back().out, .out = image.channels}));
    out_gain_ = register_parameter("out_gain", torch::zeros({}));
  }

  void hold_in_compute_type() override {
    const torch::Dtype type = number_type(compute_type());
    in_conv_->hold(type);
    for (auto& block : blocks_) block.hold(type);
  }

 protected:
  bool takes_second_time() const override { return options_.second_time; }
  std::vector<std::string> ends_of_second_time() const override { return {kSecondTimeGain}; }

  Tensor compute(const Tensor& x, const Conditioning& told, const Tensor& dropout_keys) override {
    check_unet_input(options_, image_, x, told.labels);
    const BlockInput input{embedding(told), dropout_keys, options_.activation_checkpointing};
    // With a channel of ones, which stands for the biases that no layer has.
    const Tensor image = torch::cat({x, torch::ones_like(x.narrow(1, 0, 1))}, 1);
    Tensor h = in_conv_->forward(trunk_input(image));
    std::vector<Tensor> skips = {h};
    for (size_t i = 0; i < blocks_.size(); ++i) {
      const UNetStage& stage = plan_.stages[i + 1];
      if (stage.closes) {
        h = mp_cat(h, skips.back(), options_.concat_balance);
        skips.pop_back();
      }
      h = blocks_[i].forward(h, input);
      if (stage.opens) skips.push_back(h);
    }
    return out_conv_->forward(h.to(x.scalar_type()), out_gain_);
  }

 private:
  void register_embedding(Initializer& initializer) {
    if (options_.time_features == TimeFeatures::fourier) {
      fourier_ = register_module("emb_fourier", MpFourier(initializer, plan_.features));
    } else {
      positional_ = NoiseFeatures(initializer, plan_.features, /*fourier_scale=*/std::nullopt);
    }
    noise_ = register_module(plan_.embedding, MpLinear(initializer, plan_.features, plan_.embedding_width));
    if (image_.classes > 0)
      labels_ = register_module(plan_.labels, MpLinear(initializer, image_.classes, plan_.embedding_width));
    if (options_.second_time) {
      second_ = register_module(kSecondTime, MpLinear(initializer, plan_.features, plan_.embedding_width));
      second_gain_ = register_parameter(kSecondTimeGain, torch::zeros({}));
    }
  }

  Tensor features(const Tensor& time) const {
    return fourier_.is_empty() ? positional_->forward(time) * std::numbers::sqrt2 : fourier_->forward(time);
  }

  Tensor embedding(const Conditioning& told) const {
    Tensor embedding = noise_->forward(features(told.time));
    if (!labels_.is_empty()) {
      const auto [of_time, of_class] = mp_sum(options_.label_balance);
      embedding = embedding * of_time + labels_->of_classes(told.labels) * of_class;
    }
    // Of no weight at first, as the network's own last layer.
    if (!second_.is_empty())
      embedding = embedding + second_->forward(features(told.time - told.second_time), second_gain_);
    return activated(embedding, Activation::silu) / kMpSiluGain;
  }

  UNetPlan plan_;
  Edm2Options options_;
  ImageSpec image_;
  MpFourier fourier_ = nullptr;  // one of both
  NoiseFeatures positional_ = nullptr;
  MpLinear noise_ = nullptr;
  MpLinear labels_ = nullptr;
  MpLinear second_ = nullptr;  // of the second time
  Tensor second_gain_;         // []
  MpConv2d in_conv_ = nullptr;
  std::vector<Edm2Block> blocks_;
  MpConv2d out_conv_ = nullptr;
  Tensor out_gain_;  // []
};

}  // namespace

double dropout_at(const Edm2Options& options, int64_t side) {
  return side <= options.dropout_side.value_or(side) ? options.dropout : 0;
}

void validate(const Edm2Options& options, const Complain& complain) {
  validate_levels(options, 1, "it has at least one", complain);
  if (options.scale_shift_norm) {
    complain("scale_shift_norm",
             concat("must be null: architecture ", Edm2Options::kName, " has no normalisation to condition"));
  }
  if (options.time_features == TimeFeatures::positional) {
    const int64_t width = options.channel_mult.empty() ? 4 : channels_at(options, 0);
    if (width < 4 || width % 2 != 0) {
      complain("time_features", concat("positional come in pairs of at least two: the first level must have "
                                       "an even number of channels, at least 4, got ",
                                       width));
    }
  }
}

UNetPlan plan_of(const Edm2Options& options, const ImageSpec& image) {
  int64_t widest = 0;
  for (size_t level = 0; level < options.channel_mult.size(); ++level)
    widest = std::max(widest, channels_at(options, level));
  UNetPlan plan{
      .stages = unet_stages(
          options, image,
          {.first_channels = channels_at(options, 0), .attention_apart = false, .attends_once_up = false}),
      .style = {.names = edm2_block_names(),
                .groups = nullptr,
                .epsilon = 0,
                .glorot = false,
                .halves_variance = false,
                .skip_resamples = false},
      .output_norm = "",
      .output_conv = "out_conv",
      .embedding = "emb_noise",
      .embedding_end = "",
      .labels = "emb_label",
      .features = channels_at(options, 0),
      .labels_are_linear = true,
      .embedding_width = widest,
      .scale_shift_norm = false};
  plan.stages.front().in += 1;  // of ones
  name_edm_stages(plan.stages);
  return plan;
}

std::shared_ptr<Network> build(const Edm2Options& options, const ImageSpec& image, Initializer initializer) {
  return std::make_shared<Edm2UNet>(options, image, initializer);
}

bool infer(const WeightShapes& weights, Edm2Options& options, ImageSpec& image) {
  image.size = side_in_names(weights);
  // Weights do not tell heads. First as one, which levels of any width have; then those as published, where
  // they are whole.
  const auto published = std::exchange(options.head_channels, std::nullopt);
  const bool known = image.size > 0 && infer_unet(weights, planner_of(options), options, image);
  bool whole = true;
  for (size_t level = 0; level < options.channel_mult.size(); ++level)
    whole = whole && channels_at(options, level) % published.value_or(1) == 0;
  if (whole) options.head_channels = published;
  options.scale_shift_norm.reset();
  options.time_features =
      weights.contains("emb_fourier.freqs") ? TimeFeatures::fourier : TimeFeatures::positional;
  options.second_time = has_second_time(weights);
  return known;
}

}  // namespace cm
