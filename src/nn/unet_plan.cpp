#include "cm/nn/unet_plan.h"

#include <algorithm>

namespace cm {
namespace {

using Kind = UNetStage::Kind;
using Section = UNetStage::Section;

class Walk {
 public:
  Walk(const UNetOptions& options, const ImageSpec& image, const UNetShape& shape)
      : options_(options), image_(image), shape_(shape), side_(image.size) {}

  std::vector<UNetStage> stages() {
    encoder();
    section_ = Section::middle;
    blocks(channels_, channels_, /*attends=*/true);
    blocks(channels_, channels_, /*attends=*/false);
    section_ = Section::decoder;
    decoder();
    return std::move(stages_);
  }

 private:
  void encoder() {
    add(Kind::convolution, image_.channels, shape_.first_channels);
    open();
    int64_t image_channels = image_.channels;
    for (size_t level = 0; level < options_.channel_mult.size(); ++level) {
      if (level > 0) {
        add(shape_.resampling, channels_, channels_, Resample::down);
        if (shape_.shrinks_image) {
          side_ *= 2;
          add(Kind::image, image_channels, channels_, Resample::down);
          image_channels = channels_;
        }
        open();
      }
      for (int64_t i = 0; i < options_.res_blocks; ++i) {
        blocks(channels_, channels_at(options_, level), attends());
        open();
      }
    }
  }

  void decoder() {
    for (size_t level = options_.channel_mult.size(); level-- > 0;) {
      if (level + 1 < options_.channel_mult.size())
        add(shape_.resampling, channels_, channels_, Resample::up);
      for (int64_t i = 0; i <= options_.res_blocks; ++i) {
        const bool attended = !shape_.attends_once_up || i == options_.res_blocks;
        const size_t block = stages_.size();
        blocks(channels_ + skips_.back(), channels_at(options_, level), attended && attends());
        stages_[block].closes = true;
        skips_.pop_back();
      }
    }
  }

  void blocks(int64_t in, int64_t out, bool attends) {
    const int64_t heads = options_.head_channels ? out / *options_.head_channels : options_.heads;
    add(Kind::block, in, out);
    if (!attends) return;
    if (shape_.attention_apart) add(Kind::attention, out, out);
    stages_.back().heads = heads;
  }

  void add(Kind kind, int64_t in, int64_t out, Resample resample = Resample::none) {
    stages_.push_back({section_, kind, in, out, side_, resample});
    channels_ = out;
    side_ = stages_.back().out_side();
  }

  void open() {
    stages_.back().opens = true;
    skips_.push_back(channels_);
  }

  bool attends() const {
    return std::ranges::find(options_.attention_resolutions, side_) != options_.attention_resolutions.end();
  }

  const UNetOptions& options_;
  const ImageSpec& image_;
  const UNetShape& shape_;
  std::vector<UNetStage> stages_;
  // At the current place, and of the open skip connections.
  Section section_ = Section::encoder;
  int64_t channels_ = 0;
  int64_t side_;
  std::vector<int64_t> skips_;
};

}  // namespace

int64_t channels_at(const UNetOptions& options, size_t level) {
  return static_cast<int64_t>(static_cast<double>(options.channels) * options.channel_mult[level]);
}

int64_t UNetStage::out_side() const {
  switch (resample) {
    case Resample::none:
      return side;
    case Resample::up:
      return 2 * side;
    case Resample::down:
      return side / 2;
  }
  TORCH_INTERNAL_ASSERT(false, "not a direction");
}

bool has_skip_convolution(const UNetStage& stage, const UNetStyle& style) {
  return stage.in != stage.out || (style.skip_resamples && stage.resample != Resample::none);
}

std::vector<UNetStage> unet_stages(const UNetOptions& options, const ImageSpec& image,
                                   const UNetShape& shape) {
  return Walk(options, image, shape).stages();
}

}  // namespace cm
