#include "cm/bench/network_flops.h"

namespace cm {
namespace {

// Walks the network as src/nn/adm_unet.cpp builds it.
class FlopCount {
 public:
  FlopCount(const UNetOptions& options, const ImageSpec& image)
      : options_(options), image_(image), width_(4 * options.channels), side_(image.size) {}

  double total() {
    embedding();
    down();
    res_block(channels_, channels_);
    attention();
    res_block(channels_, channels_);
    up();
    conv(channels_, image_.channels, 3);
    return total_;
  }

 private:
  void embedding() {
    linear(options_.channels, width_);
    linear(width_, width_);
  }

  void down() {
    channels_ = channels_at(options_, 0);
    conv(image_.channels, channels_, 3);
    skips_.push_back(channels_);
    for (size_t level = 0; level < options_.channel_mult.size(); ++level) {
      for (int64_t i = 0; i < options_.res_blocks; ++i) {
        level_block(channels_, level);
        skips_.push_back(channels_);
      }
      if (level + 1 == options_.channel_mult.size()) break;
      side_ /= 2;
      resampling();
      skips_.push_back(channels_);
    }
  }

  void up() {
    for (size_t level = options_.channel_mult.size(); level-- > 0;) {
      for (int64_t i = 0; i <= options_.res_blocks; ++i) {
        level_block(channels_ + skips_.back(), level);
        skips_.pop_back();
      }
      if (level == 0) break;
      side_ *= 2;
      resampling();
    }
  }

  void level_block(int64_t in, size_t level) {
    channels_ = channels_at(options_, level);
    res_block(in, channels_);
    if (attends_at(options_, side_)) attention();
  }

  void resampling() {
    if (options_.resblock_updown) {
      res_block(channels_, channels_);
    } else if (options_.conv_resample) {
      conv(channels_, channels_, 3);
    }
  }

  void res_block(int64_t in, int64_t out) {
    conv(in, out, 3);
    linear(width_, scales_and_shifts(options_) ? 2 * out : out);
    conv(out, out, 3);
    if (in != out) conv(in, out, 1);
  }

  void attention() {
    conv(channels_, 3 * channels_, 1);
    const auto tokens = static_cast<double>(side_ * side_);
    total_ += 2 * 2 * tokens * tokens * static_cast<double>(channels_);  // q·k and the sum of v, all heads
    conv(channels_, channels_, 1);
  }

  void conv(int64_t in, int64_t out, int64_t kernel) {
    total_ += 2 * static_cast<double>(in * out * kernel * kernel * side_ * side_);
  }

  void linear(int64_t in, int64_t out) { total_ += 2 * static_cast<double>(in * out); }

  const UNetOptions& options_;
  const ImageSpec& image_;
  int64_t width_;
  int64_t side_;
  int64_t channels_ = 0;
  std::vector<int64_t> skips_;
  double total_ = 0;
};

}  // namespace

double forward_flops(const UNetOptions& options, const ImageSpec& image) {
  TORCH_CHECK(options.architecture == Architecture::adm, "counts the ADM U-Net's operations only");
  return FlopCount(options, image).total();
}

}  // namespace cm
