#include "cm/nn/song_unet.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "cm/base/text.h"
#include "cm/kernels/convolution.h"
#include "cm/nn/song_blocks.h"

namespace cm {
namespace {

constexpr double kDefaultFourierScale = 16;
// NCSN++ has twice as many noise features as channels.
constexpr int64_t kNcsnppFeatures = 2;

struct EncoderLevel {
  SongBlock down = nullptr;    // absent in the first level
  DownConv2d image = nullptr;  // NCSN++: the input image, level by level, beside the features
  std::vector<SongBlock> blocks;
};

struct DecoderLevel {
  std::vector<SongBlock> entry;   // from the level below; two blocks in the deepest
  std::vector<SongBlock> blocks;  // each takes a skip connection
};

class SongUNet : public Network {
 public:
  SongUNet(const UNetOptions& options, const ImageSpec& image, Initializer initializer)
      : options_(options), image_(image), ncsnpp_(options.architecture == Architecture::ncsnpp) {
    build_mapping(initializer);
    build_encoder(initializer);
    build_decoder(initializer);
  }

  Tensor compute(const Tensor& x, const Conditioning& told,
                 const std::optional<DropoutKey>& dropout_key) override {
    check_input(options_, image_, x, told.labels);
    const BlockInput input{embed(told), dropout_key, options_.activation_checkpointing};
    std::vector<Tensor> skips = encode(trunk_input(x), input);
    Tensor h = skips.back();
    for (const auto& level : decoder_) {
      for (const auto& block : level.entry) h = block->forward(h, input);
      for (const auto& block : level.blocks) {
        h = block->forward(torch::cat({h, skips.back()}, 1), input);
        skips.pop_back();
      }
    }
    return output_conv_->forward(output_norm_->forward_silu(h.to(x.scalar_type())));
  }

  void hold_in_compute_type() override {
    hold_convolutions(*this, output_conv_->weight, number_type(compute_type()));
  }

 private:
  void build_mapping(Initializer& initializer) {
    const int64_t features = options_.channels * (ncsnpp_ ? kNcsnppFeatures : 1);
    const int64_t width = embedding_width();
    const auto scale = options_.fourier_scale.value_or(kDefaultFourierScale);
    map_noise_ = register_module(
        "map_noise", NoiseFeatures(initializer, features, ncsnpp_ ? std::optional(scale) : std::nullopt));
    if (image_.classes > 0)
      map_label_ = register_module("map_label", Linear(initializer, image_.classes, features, 1));
    map_layer0_ = register_module("map_layer0", Linear(initializer, features, width, 1));
    map_layer1_ = register_module("map_layer1", Linear(initializer, width, width, 1));
  }

  void build_encoder(Initializer& initializer) {
    const auto enc = register_module("enc", std::make_shared<torch::nn::Module>());
    channels_ = options_.channels;
    input_conv_ = enc->register_module(
        name_at(0, "conv"),
        Conv2d(initializer, Conv2dOptions{.in = image_.channels, .out = channels_, .xavier_gain = 1}));
    skip_channels_.push_back(channels_);
    int64_t image_channels = image_.channels;
    for (size_t i = 0; i < options_.channel_mult.size(); ++i) {
      EncoderLevel& level = encoder_.emplace_back();
      if (i > 0) {
        level.down = enc->register_module(name_at(i, "down"), resampling_block(initializer, Resample::down));
        skip_channels_.push_back(channels_);
      }
      if (i > 0 && ncsnpp_) {
        level.image = enc->register_module(name_at(i, "aux_residual"),
                                           DownConv2d(initializer, image_channels, channels_));
        image_channels = channels_;
      }
      for (int64_t k = 0; k < options_.res_blocks; ++k) {
        level.blocks.emplace_back(enc->register_module(
            name_at(i, concat("block", k)), block(initializer, channels_at(options_, i), attends(i))));
        skip_channels_.push_back(channels_);
      }
    }
  }

  void build_decoder(Initializer& initializer) {
    const auto dec = register_module("dec", std::make_shared<torch::nn::Module>());
    for (size_t i = options_.channel_mult.size(); i-- > 0;) {
      DecoderLevel& level = decoder_.emplace_back();
      if (i + 1 == options_.channel_mult.size()) {
        level.entry = {dec->register_module(name_at(i, "in0"), block(initializer, channels_, true)),
                       dec->register_module(name_at(i, "in1"), block(initializer, channels_, false))};
      } else {
        level.entry = {dec->register_module(name_at(i, "up"), resampling_block(initializer, Resample::up))};
      }
      for (int64_t k = 0; k <= options_.res_blocks; ++k) {
        channels_ += skip_channels_.back();
        skip_channels_.pop_back();
        level.blocks.emplace_back(dec->register_module(
            name_at(i, concat("block", k)),
            block(initializer, channels_at(options_, i), k == options_.res_blocks && attends(i))));
      }
    }
    output_norm_ = dec->register_module(name_at(0, "aux_norm"), GroupNorm(channels_, song_norm(channels_)));
    output_conv_ = dec->register_module(
        name_at(0, "aux_conv"),
        Conv2d(initializer, Conv2dOptions{.in = channels_, .out = image_.channels, .xavier_gain = 1e-5}));
  }

  SongBlockOptions block_options() {
    return {.in = channels_,
            .out = channels_,
            .embedding_width = embedding_width(),
            .filter = ncsnpp_ ? ResampleFilter::binomial : ResampleFilter::box,
            .scale_shift_norm = scales_and_shifts(options_),
            .double_norm = options_.double_norm,
            .dropout = options_.dropout,
            .layer = block_count_++};
  }

  SongBlock block(Initializer& initializer, int64_t out, bool attends) {
    SongBlockOptions options = block_options();
    options.out = out;
    options.heads = attends ? heads_at(options_, out) : 0;
    channels_ = out;
    return SongBlock(initializer, options);
  }

  SongBlock resampling_block(Initializer& initializer, Resample direction) {
    SongBlockOptions options = block_options();
    options.resample = direction;
    return SongBlock(initializer, options);
  }

  Tensor embed(const Conditioning& told) const {
    Tensor features = map_noise_->forward(told.time);
    if (image_.classes > 0) {
      // map_label of a one-hot vector times √classes; of zeros for the null class, as in EDM.
      const double scale = std::sqrt(static_cast<double>(image_.classes));
      features = features + class_rows(map_label_->weight.t(), told.labels) * scale + map_label_->bias;
    }
    return torch::silu(map_layer1_->forward(torch::silu(map_layer0_->forward(features))));
  }

  // The skip connections' ends, in order; the last is also what the decoder starts from.
  std::vector<Tensor> encode(const Tensor& x, const BlockInput& input) const {
    std::vector<Tensor> outputs = {input_conv_->forward(x)};
    Tensor image = x;
    for (const auto& level : encoder_) {
      if (!level.down.is_empty()) {
        Tensor h = level.down->forward(outputs.back(), input);
        if (!level.image.is_empty()) h = image = (h + level.image->forward(image)) / std::numbers::sqrt2;
        outputs.push_back(h);
      }
      for (const auto& block : level.blocks) outputs.push_back(block->forward(outputs.back(), input));
    }
    return outputs;
  }

  int64_t embedding_width() const { return 4 * options_.channels; }
  int64_t side_at(size_t level) const { return image_.size >> level; }
  bool attends(size_t level) const { return attends_at(options_, side_at(level)); }
  std::string name_at(size_t level, const std::string& what) const {
    return concat(side_at(level), "x", side_at(level), "_", what);
  }

  UNetOptions options_;
  ImageSpec image_;
  bool ncsnpp_;
  // While the network is built: channels at the current place and of the open skip connections.
  int64_t channels_ = 0;
  std::vector<int64_t> skip_channels_;
  int64_t block_count_ = 0;

  NoiseFeatures map_noise_ = nullptr;
  Linear map_label_ = nullptr;
  Linear map_layer0_ = nullptr;
  Linear map_layer1_ = nullptr;
  Conv2d input_conv_ = nullptr;
  std::vector<EncoderLevel> encoder_;
  std::vector<DecoderLevel> decoder_;
  GroupNorm output_norm_ = nullptr;
  Conv2d output_conv_ = nullptr;
};

}  // namespace

std::shared_ptr<Network> make_song_unet(const UNetOptions& options, const ImageSpec& image,
                                        const Initializer& initializer) {
  return std::make_shared<SongUNet>(options, image, initializer);
}

}  // namespace cm
