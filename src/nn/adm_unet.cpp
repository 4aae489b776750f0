#include "cm/nn/adm_unet.h"

#include <vector>

#include "cm/nn/adm_blocks.h"

namespace cm {
namespace {

class AdmUNet : public Network {
 public:
  AdmUNet(const UNetOptions& options, const ImageSpec& image, Initializer initializer)
      : options_(options), image_(image), embedding_width_(4 * options.channels) {
    build_embedding(initializer);
    build_down_path(initializer);
    build_middle(initializer);
    build_up_path(initializer);
    build_output(initializer);
  }

  Tensor compute(const Tensor& x, const Conditioning& told,
                 const std::optional<DropoutKey>& dropout_key) override {
    check_input(options_, image_, x, told.labels);
    const BlockInput input{embed(told), dropout_key, options_.activation_checkpointing};
    std::vector<Tensor> skips;
    Tensor h = trunk_input(x);
    for (const auto& stage : down_) {
      h = stage->forward(h, input);
      skips.push_back(h);
    }
    h = middle_->forward(h, input);
    for (const auto& stage : up_) {
      h = stage->forward(torch::cat({h, skips.back()}, 1), input);
      skips.pop_back();
    }
    return output_conv_->forward(output_norm_->forward_silu(h.to(x.scalar_type())));
  }

  void hold_in_compute_type() override {
    hold_convolutions(*this, output_conv_->weight, number_type(compute_type()));
  }

 private:
  void build_embedding(Initializer& initializer) {
    auto time_embed = register_module("time_embed", Indexed());
    time_in_ = time_embed->add(0, Linear(initializer, options_.channels, embedding_width_));
    time_out_ = time_embed->add(2, Linear(initializer, embedding_width_, embedding_width_));
    if (image_.classes > 0) {
      label_emb_ = register_module("label_emb", Embedding(initializer, image_.classes, embedding_width_));
    }
  }

  void build_down_path(Initializer& initializer) {
    auto blocks = register_module("input_blocks", Indexed());
    channels_ = channels_at(options_, 0);
    const auto add = [&](Stage stage) {
      skip_channels_.push_back(channels_);
      down_.push_back(blocks->add(static_cast<int64_t>(down_.size()), std::move(stage)));
    };
    Stage first;
    first->add_conv(Conv2d(initializer, Conv2dOptions{.in = image_.channels, .out = channels_}));
    add(first);
    int64_t side = image_.size;
    for (size_t level = 0; level < options_.channel_mult.size(); ++level) {
      for (int64_t i = 0; i < options_.res_blocks; ++i) {
        Stage stage;
        add_res_block(initializer, *stage, channels_, channels_at(options_, level));
        if (attends_at(options_, side)) add_attention(initializer, *stage);
        add(stage);
      }
      if (level + 1 == options_.channel_mult.size()) break;
      add(resampling_stage(initializer, Resample::down));
      side /= 2;
    }
    side_ = side;
  }

  void build_middle(Initializer& initializer) {
    middle_ = register_module("middle_block", Stage());
    add_res_block(initializer, *middle_, channels_, channels_);
    add_attention(initializer, *middle_);
    add_res_block(initializer, *middle_, channels_, channels_);
  }

  void build_up_path(Initializer& initializer) {
    auto blocks = register_module("output_blocks", Indexed());
    for (size_t level = options_.channel_mult.size(); level-- > 0;) {
      for (int64_t i = 0; i <= options_.res_blocks; ++i) {
        Stage stage;
        add_res_block(initializer, *stage, channels_ + skip_channels_.back(), channels_at(options_, level));
        skip_channels_.pop_back();
        if (attends_at(options_, side_)) add_attention(initializer, *stage);
        if (level > 0 && i == options_.res_blocks) {
          add_resampling(initializer, *stage, Resample::up);
          side_ *= 2;
        }
        up_.push_back(blocks->add(static_cast<int64_t>(up_.size()), std::move(stage)));
      }
    }
  }

  void build_output(Initializer& initializer) {
    auto out = register_module("out", Indexed());
    output_norm_ = out->add(0, GroupNorm(channels_));
    output_conv_ = out->add(
        2, Conv2d(initializer, Conv2dOptions{.in = channels_, .out = image_.channels, .zero = true}));
  }

  ResBlockOptions res_block_options(int64_t in, int64_t out, Resample resample) {
    return {.in = in,
            .out = out,
            .embedding_width = embedding_width_,
            .resample = resample,
            .scale_shift_norm = scales_and_shifts(options_),
            .double_norm = options_.double_norm,
            .dropout = options_.dropout,
            .layer = res_block_count_++};
  }

  void add_res_block(Initializer& initializer, StageImpl& stage, int64_t in, int64_t out) {
    stage.add_res_block(ResBlock(initializer, res_block_options(in, out, Resample::none)));
    channels_ = out;
  }

  void add_attention(Initializer& initializer, StageImpl& stage) {
    stage.add_attention(Attention(initializer, channels_, heads_at(options_, channels_)));
  }

  void add_resampling(Initializer& initializer, StageImpl& stage, Resample resample) {
    if (options_.resblock_updown) {
      stage.add_res_block(ResBlock(initializer, res_block_options(channels_, channels_, resample)));
    } else {
      stage.add_resampling(Resampling(initializer, channels_, resample, options_.conv_resample));
    }
  }

  Stage resampling_stage(Initializer& initializer, Resample resample) {
    Stage stage;
    add_resampling(initializer, *stage, resample);
    return stage;
  }

  // With the SiLU that every block begins with.
  Tensor embed(const Conditioning& told) const {
    const Tensor features = time_features(told.time, options_.channels);
    const Tensor embedding = time_out_->forward(torch::silu(time_in_->forward(features)));
    return torch::silu(image_.classes > 0 ? embedding + label_emb_->forward(told.labels) : embedding);
  }

  UNetOptions options_;
  ImageSpec image_;
  int64_t embedding_width_;
  // While the network is built: channels and side at the current place, channels of the open skip
  // connections.
  int64_t channels_ = 0;
  int64_t side_ = 0;
  int64_t res_block_count_ = 0;
  std::vector<int64_t> skip_channels_;

  Linear time_in_ = nullptr;
  Linear time_out_ = nullptr;
  Embedding label_emb_ = nullptr;
  std::vector<Stage> down_;
  Stage middle_ = nullptr;
  std::vector<Stage> up_;
  GroupNorm output_norm_ = nullptr;
  Conv2d output_conv_ = nullptr;
};

}  // namespace

std::shared_ptr<Network> make_adm_unet(const UNetOptions& options, const ImageSpec& image,
                                       const Initializer& initializer) {
  return std::make_shared<AdmUNet>(options, image, initializer);
}

}  // namespace cm
