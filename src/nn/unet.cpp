#include "unet.h"

#include <numbers>

#include "cm/base/text.h"

#include "network_input.h"

namespace cm {
namespace {

using Kind = UNetStage::Kind;

// What the stages of one forward pass share.
struct Pass {
  BlockInput input;
  Tensor image;  // NCSN++: the input image at the current resolution
};

using Layer = std::function<Tensor(const Joined& x, Pass& pass)>;

class UNet : public Network {
 public:
  UNet(UNetPlan plan, const UNetOptions& options, const ImageSpec& image, const EmbeddingMaker& embedding,
       Initializer& initializer)
      : plan_(std::move(plan)), options_(options), image_(image), embedding_(embedding(*this, initializer)) {
    for (const auto& stage : plan_.stages) layers_.push_back(layer(stage, initializer));
    const int64_t channels = plan_.stages.back().out;
    output_norm_ =
        register_at(*this, plan_.output_norm, GroupNorm(channels, styled_norm(plan_.style, channels)));
    output_conv_ =
        convolution(plan_.output_conv, {.in = channels, .out = image.channels}, initializer, kEndGain);
  }

  void hold_in_compute_type() override {
    hold_convolutions(*this, output_conv_->weight, number_type(compute_type()));
  }

 protected:
  bool takes_second_time() const override { return options_.second_time; }
  std::vector<std::string> ends_of_second_time() const override { return {concat(kSecondTime, ".weight")}; }

  Tensor compute(const Tensor& x, const Conditioning& told, const Tensor& dropout_keys) override {
    check_unet_input(options_, image_, x, told.labels);
    Pass pass{{embedding_(told), dropout_keys, options_.activation_checkpointing}, {}};
    Tensor h = pass.image = trunk_input(x);
    std::vector<Tensor> skips;
    for (size_t i = 0; i < layers_.size(); ++i) {
      const UNetStage& stage = plan_.stages[i];
      Joined input = std::move(h);
      if (stage.closes) {
        input.second = std::move(skips.back());
        skips.pop_back();
      }
      h = layers_[i](input, pass);
      if (stage.opens) skips.push_back(h);
    }
    return output_conv_->forward(output_norm_->forward_silu(h.to(x.scalar_type())));
  }

 private:
  Layer layer(const UNetStage& stage, Initializer& initializer) {
    switch (stage.kind) {
      case Kind::convolution:
        return convolution_layer(stage, initializer);
      case Kind::block:
        return [block = residual_block(stage, initializer)](const Joined& x, Pass& pass) {
          return block->forward(x, pass.input);
        };
      case Kind::attention:
        return [block = AttentionBlock(*this, stage.name, plan_.style, initializer, stage.out, stage.heads)](
                   const Joined& x, Pass&) { return block.forward(whole(x)); };
      case Kind::resampling:
        return [direction = stage.resample](const Joined& x, Pass&) { return resample(whole(x), direction); };
      case Kind::image:
        return [conv = register_at(*this, stage.name, DownConv2d(initializer, stage.in, stage.out))](
                   const Joined& x, Pass& pass) {
          return pass.image = (whole(x) + conv->forward(pass.image)) / std::numbers::sqrt2;
        };
    }
    TORCH_INTERNAL_ASSERT(false, "not a kind of stage");
  }

  Conv2d convolution(const std::string& name, const Conv2dOptions& options, Initializer& initializer,
                     double gain = 1) {
    return register_at(*this, name, styled_convolution(plan_.style, initializer, options, gain));
  }

  Layer convolution_layer(const UNetStage& stage, Initializer& initializer) {
    const int64_t stride = stage.resample == Resample::down ? 2 : 1;
    const auto before = stage.resample == Resample::up ? Resample::up : Resample::none;
    return [before, conv = convolution(stage.name, {.in = stage.in, .out = stage.out, .stride = stride},
                                       initializer)](const Joined& x, Pass&) {
      return conv->forward(resample(whole(x), before));
    };
  }

  std::shared_ptr<ResidualBlock> residual_block(const UNetStage& stage, Initializer& initializer) {
    return std::make_shared<ResidualBlock>(*this, plan_.style, initializer,
                                           ResidualOptions{.stage = stage,
                                                           .embedding_width = plan_.embedding_width,
                                                           .scale_shift_norm = plan_.scale_shift_norm,
                                                           .double_norm = options_.double_norm,
                                                           .dropout = options_.dropout,
                                                           .layer = block_count_++});
  }

  UNetPlan plan_;
  UNetOptions options_;
  ImageSpec image_;
  int64_t block_count_ = 0;
  EmbeddingFunction embedding_;
  std::vector<Layer> layers_;
  GroupNorm output_norm_ = nullptr;
  Conv2d output_conv_ = nullptr;
};

}  // namespace

void check_unet_input(const UNetOptions& options, const ImageSpec& image, const Tensor& x,
                      const Tensor& labels) {
  check_network_input(image, int64_t{1} << (options.channel_mult.size() - 1), x, labels);
}

std::shared_ptr<Network> make_unet(UNetPlan plan, const UNetOptions& options, const ImageSpec& image,
                                   const EmbeddingMaker& embedding, Initializer initializer) {
  return std::make_shared<UNet>(std::move(plan), options, image, embedding, initializer);
}

}  // namespace cm
