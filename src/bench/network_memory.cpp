#include "cm/bench/network_memory.h"

#include <algorithm>

#include "cm/base/text.h"
#include "cm/nn/song_blocks.h"
#include "network_walk.h"

namespace cm {
namespace {

// What the walks of all architectures share.
class UNetWalk {
 public:
  UNetWalk(const UNetOptions& options, const ImageSpec& image, Kernels kernels,
           int64_t (*groups_of)(int64_t channels))
      : options_(options), image_(image), walk_(kernels, groups_of), side_(image.size) {}

 protected:
  int64_t embedding_width() const { return 4 * options_.channels; }

  ResBlockShape shape(int64_t in, int64_t out) const {
    return {.in = in,
            .out = out,
            .side = side_,
            .embedding_width = embedding_width(),
            .skip_convolution = in != out,
            .scale_shift_norm = scales_and_shifts(options_),
            .double_norm = options_.double_norm,
            .dropout = options_.dropout > 0,
            .recomputed = options_.activation_checkpointing};
  }

  // The end of a stage of the encoder is one end of a skip connection.
  void open() {
    skips_.push_back(channels_);
    walk_.last().opened = numbers(channels_, side_);
  }

  // Channels of the decoder's next input, with a skip connection concatenated.
  int64_t closed() {
    const int64_t channels = channels_ + skips_.back();
    skips_.pop_back();
    return channels;
  }

  const UNetOptions& options_;
  const ImageSpec& image_;
  NetworkWalk walk_;
  int64_t side_;
  int64_t channels_ = 0;
  std::vector<int64_t> skips_;
};

// As src/nn/adm_unet.cpp builds it.
class AdmWalk : UNetWalk {
 public:
  AdmWalk(const UNetOptions& options, const ImageSpec& image, Kernels kernels)
      : UNetWalk(options, image, kernels, [](int64_t) { return int64_t{32}; }) {}

  NetworkSizes sizes() {
    walk_.embedding(options_.channels, embedding_width(), image_.classes > 0);
    walk_.table(image_.classes, embedding_width());
    down();
    block(channels_, channels_);
    attention();
    block(channels_, channels_);
    up();
    walk_.output(channels_, image_);
    return walk_.take();
  }

 private:
  void down() {
    channels_ = channels_at(options_, 0);
    walk_.convolution(image_.channels, channels_, 3, side_, side_);
    open();
    for (size_t level = 0; level < options_.channel_mult.size(); ++level) {
      for (int64_t i = 0; i < options_.res_blocks; ++i) {
        level_block(channels_, level);
        open();
      }
      if (level + 1 == options_.channel_mult.size()) break;
      resampling(Resample::down);
      side_ /= 2;
      open();
    }
  }

  void up() {
    for (size_t level = options_.channel_mult.size(); level-- > 0;) {
      for (int64_t i = 0; i <= options_.res_blocks; ++i) level_block(closed(), level, /*closes=*/true);
      if (level == 0) break;
      resampling(Resample::up);
      side_ *= 2;
    }
  }

  void level_block(int64_t in, size_t level, bool closes = false) {
    block(in, channels_at(options_, level));
    if (closes) walk_.last().closed = numbers(in, side_);
    if (attends_at(options_, side_)) attention();
  }

  void block(int64_t in, int64_t out, Resample resample = Resample::none) {
    ResBlockShape block_shape = shape(in, out);
    block_shape.resample = resample;
    walk_.add(walk_.res_block(block_shape));
    channels_ = out;
  }

  void attention() { walk_.add(walk_.attention(channels_, side_, heads_at(options_, channels_))); }

  // Plain resampling down keeps its input, up what the convolution takes.
  void resampling(Resample direction) {
    if (options_.resblock_updown) return block(channels_, channels_, direction);
    const bool down = direction == Resample::down;
    const int64_t taken = down ? side_ : 2 * side_;
    if (options_.conv_resample) {
      walk_.convolution(channels_, channels_, 3, taken, down ? side_ / 2 : taken);
    } else {
      Segment segment;
      if (down) segment.input.computed = numbers(channels_, side_);
      segment.forward.computed = segment.gradients.computed = 2 * numbers(channels_, taken);
      walk_.add(segment);
    }
  }
};

// As src/nn/song_unet.cpp builds it.
class SongWalk : UNetWalk {
 public:
  SongWalk(const UNetOptions& options, const ImageSpec& image, Kernels kernels)
      : UNetWalk(options, image, kernels, [](int64_t channels) { return song_norm(channels).groups; }),
        ncsnpp_(options.architecture == Architecture::ncsnpp) {}

  NetworkSizes sizes() {
    const int64_t features = options_.channels * (ncsnpp_ ? 2 : 1);
    walk_.embedding(features, embedding_width(), image_.classes > 0);
    if (image_.classes > 0) walk_.linear(image_.classes, features);
    encoder();
    decoder();
    walk_.output(channels_, image_);
    return walk_.take();
  }

 private:
  void encoder() {
    channels_ = options_.channels;
    walk_.convolution(image_.channels, channels_, 3, side_, side_);
    open();
    int64_t image_channels = image_.channels;
    for (size_t level = 0; level < options_.channel_mult.size(); ++level) {
      if (level > 0) {
        block(channels_, channels_, false, Resample::down);
        if (ncsnpp_) shrunk_image(image_channels);
        side_ /= 2;
        open();
        image_channels = channels_;
      }
      for (int64_t i = 0; i < options_.res_blocks; ++i) {
        block(channels_, channels_at(options_, level), attends_at(options_, side_));
        open();
      }
    }
  }

  void decoder() {
    for (size_t level = options_.channel_mult.size(); level-- > 0;) {
      if (level + 1 == options_.channel_mult.size()) {
        block(channels_, channels_, true);
        block(channels_, channels_, false);
      } else {
        block(channels_, channels_, false, Resample::up);
        side_ *= 2;
      }
      for (int64_t i = 0; i <= options_.res_blocks; ++i) {
        const int64_t in = closed();
        block(in, channels_at(options_, level), i == options_.res_blocks && attends_at(options_, side_));
        walk_.last().closed = numbers(in, side_);
      }
    }
  }

  // With the attention at its end, which is recomputed with it.
  void block(int64_t in, int64_t out, bool attends, Resample resample = Resample::none) {
    ResBlockShape block_shape = shape(in, out);
    block_shape.resample = resample;
    block_shape.filter = ncsnpp_ ? ResampleFilter::binomial : ResampleFilter::box;
    block_shape.skip_convolution = in != out || resample != Resample::none;
    Segment segment = walk_.res_block(block_shape);
    segment.forward.computed += numbers(out, side_);  // the sum before it is scaled
    if (attends) {
      const Segment end = walk_.attention(out, side_, heads_at(options_, out));
      segment.inner += end.input;
      segment.inner += end.inner;
      segment.gradients.computed = std::max(segment.gradients.computed, end.gradients.computed);
      segment.forward.computed = std::max(segment.forward.computed, end.forward.computed);
    }
    walk_.add(segment);
    channels_ = out;
  }

  // NCSN++'s image beside the features: both convolutions keep their inputs, the first one only of the first
  // level, for deeper ones it is a block's input already; what it makes has two pixels more than the image.
  void shrunk_image(int64_t image_channels) {
    walk_.trunk_convolution(image_channels, channels_, 3, side_ + 2);
    walk_.last().input.computed += numbers(channels_, side_ + 2);
  }

  bool ncsnpp_;
};

double total_kept(const std::vector<Segment>& segments, int64_t computed_bytes) {
  double kept = 0;
  for (const Segment& segment : segments) {
    kept += segment.input.bytes(computed_bytes);
    if (!segment.recomputed) kept += segment.inner.bytes(computed_bytes);
  }
  return kept;
}

// Backwards: what is still kept, the gradients of skip connections whose other end has not come yet (each
// holds the gradient of the whole concatenation), and what the segment itself needs.
double training_peak(const std::vector<Segment>& segments, int64_t computed_bytes) {
  double kept = total_kept(segments, computed_bytes);
  double waiting = 0;
  std::vector<double> gradients;
  double peak = kept;
  for (size_t i = segments.size(); i-- > 0;) {
    const Segment& segment = segments[i];
    const double inner = segment.inner.bytes(computed_bytes);
    peak = std::max(
        peak, kept + waiting + segment.gradients.bytes(computed_bytes) + (segment.recomputed ? inner : 0));
    kept -= segment.input.bytes(computed_bytes) + (segment.recomputed ? 0 : inner);
    if (segment.closed > 0) {
      gradients.push_back(segment.closed * static_cast<double>(computed_bytes));
      waiting += gradients.back();
    }
    if (segment.opened > 0) {
      waiting -= gradients.back();
      gradients.pop_back();
    }
  }
  return peak;
}

double inference_peak(const std::vector<Segment>& segments, int64_t computed_bytes) {
  double waiting = 0;
  std::vector<double> skips;
  double peak = 0;
  for (const Segment& segment : segments) {
    peak = std::max(peak, waiting + segment.forward.bytes(computed_bytes));
    if (segment.opened > 0) {
      skips.push_back(segment.opened * static_cast<double>(computed_bytes));
      waiting += skips.back();
    }
    if (segment.closed > 0) {
      waiting -= skips.back();
      skips.pop_back();
    }
  }
  return peak;
}

}  // namespace

NetworkSizes sizes_of(const UNetOptions& options, const ImageSpec& image, Kernels kernels) {
  std::vector<std::string> mistakes;
  const auto complain = [&](const std::string& key, const std::string& sentence) {
    mistakes.push_back(concat(key, " ", sentence));
  };
  validate(options, complain);
  validate_for(options, image, complain);
  TORCH_CHECK(mistakes.empty(), join(mistakes, "; "));
  switch (options.architecture) {
    case Architecture::adm:
      return AdmWalk(options, image, kernels).sizes();
    case Architecture::ddpmpp:
    case Architecture::ncsnpp:
      return SongWalk(options, image, kernels).sizes();
  }
  TORCH_INTERNAL_ASSERT(false, "not an architecture");
}

PassMemory pass_memory(const std::vector<Segment>& segments, int64_t computed_bytes) {
  return {.kept = total_kept(segments, computed_bytes),
          .training_peak = training_peak(segments, computed_bytes),
          .inference_peak = inference_peak(segments, computed_bytes)};
}

}  // namespace cm
