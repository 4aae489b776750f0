#include "dit_walk.h"

#include <algorithm>

namespace cm {
namespace {

constexpr int64_t kTimeFeatures = 256;

class DitWalk {
 public:
  DitWalk(const DitOptions& options, const ImageSpec& image)
      : options_(options),
        image_(image),
        width_(options.width),
        side_(image.size / options.patch),
        tokens_(static_cast<double>(side_ * side_)),
        pixels_(options.patch * options.patch * image.channels) {}

  NetworkSizes sizes() {
    embedding();
    patches();
    for (int64_t i = 0; i < options_.depth; ++i) sizes_.segments.push_back(block());
    output();
    return std::move(sizes_);
  }

 private:
  double of_tokens(int64_t width) const { return tokens_ * static_cast<double>(width); }

  void weights(int64_t in, int64_t out, double times) {
    sizes_.parameters += in * out + out;
    sizes_.flops += 2 * times * static_cast<double>(in * out);
  }

  void of_trunk(int64_t in, int64_t out) {
    sizes_.trunk_weights += in * out;
    weights(in, out, tokens_);
  }

  // Of each time its features, and what SiLU and the second layer take; their sum, and SiLU of it, which all
  // blocks take; of a label its number and whether it is hidden.
  void embedding() {
    const int64_t times = options_.second_time ? 2 : 1;
    for (int64_t i = 0; i < times; ++i) {
      weights(kTimeFeatures, width_, 1);
      weights(width_, width_, 1);
    }
    const bool labelled = image_.classes > 0;
    if (labelled) sizes_.parameters += (image_.classes + 1) * width_;
    Segment segment;
    segment.input.fp32 =
        static_cast<double>(times * (kTimeFeatures + 2 * width_) + 2 * width_) + (labelled ? 3 : 0);
    segment.forward.fp32 = segment.input.fp32;
    sizes_.segments.push_back(segment);
  }

  void patches() {
    of_trunk(pixels_, width_);
    Segment segment;
    segment.input.computed = of_tokens(pixels_);
    segment.gradients.computed = of_tokens(pixels_ + width_);
    segment.forward.computed = of_tokens(pixels_ + 3 * width_);  // with positions, and their sum
    sizes_.segments.push_back(segment);
  }

  // Mean and 1/standard deviation of each token, 1 + scale.
  void norm(Numbers& kept) const {
    kept.fp32 += 2 * tokens_;
    kept.computed += static_cast<double>(width_);
  }

  Segment block() {
    const int64_t hidden = mlp_width(options_);
    const auto width = static_cast<double>(width_);
    of_trunk(width_, 3 * width_);
    of_trunk(width_, width_);
    of_trunk(width_, hidden);
    of_trunk(hidden, width_);
    weights(width_, 6 * width_, 1);
    sizes_.flops += 4 * tokens_ * of_tokens(width_);  // q·k and the sum of v, all heads

    Segment segment;
    segment.recomputed = options_.activation_checkpointing;
    segment.input.computed = of_tokens(width_);
    norm(segment.inner);
    norm(segment.inner);
    segment.inner.computed += 6 * width;  // shifts, scales and gates
    // Of attention: the normalised, the same modulated, queries, keys, values, their mean, the projection.
    // Of the layers behind it: their input, the same normalised and modulated, the end.
    segment.inner.computed += of_tokens(11 * width_ + 2 * hidden);
    segment.inner.fp32 += static_cast<double>(options_.heads) * tokens_;  // logarithm of each row's sum
    segment.gradients.computed = of_tokens(2 * width_ + std::max(3 * width_, hidden));
    segment.forward.computed = of_tokens(2 * width_ + std::max(5 * width_, 2 * hidden)) + 7 * width;
    return segment;
  }

  // In fp32. The input of the norm, the same normalised and modulated.
  void output() {
    const int64_t answers = (options_.learned_variance ? 2 : 1) * pixels_;
    weights(width_, 2 * width_, 1);
    weights(width_, answers, tokens_);
    Segment segment;
    norm(segment.input);
    segment.input.fp32 += of_tokens(3 * width_ + pixels_);
    segment.gradients.fp32 = of_tokens(2 * width_ + answers);
    segment.forward.fp32 = of_tokens(3 * width_ + answers);
    sizes_.segments.push_back(segment);
  }

  const DitOptions& options_;
  const ImageSpec& image_;
  int64_t width_;
  int64_t side_;  // in tokens
  double tokens_;
  int64_t pixels_;  // numbers of a patch
  NetworkSizes sizes_;
};

}  // namespace

NetworkSizes walked(const DitOptions& options, const ImageSpec& image, Kernels /*kernels*/) {
  return DitWalk(options, image).sizes();
}

}  // namespace cm
