#include "edm2_walk.h"

#include <algorithm>

namespace cm {
namespace {

// No layer has a bias, and each pass computes the weights that it uses from those that are trained.
class Edm2Walk {
 public:
  Edm2Walk(const UNetPlan& plan, const Edm2Options& options, const ImageSpec& image, Kernels kernels)
      : plan_(plan), options_(options), image_(image), fused_(kernels == Kernels::fused) {}

  NetworkSizes sizes() {
    embedding();
    for (const auto& stage : plan_.stages) {
      sizes_.segments.push_back(stage.kind == UNetStage::Kind::convolution ? first(stage) : block(stage));
      if (stage.closes) concatenated(stage);
      before_ = numbers_of(stage.out, stage.out_side());
      if (stage.opens) sizes_.segments.back().opened = before_;
    }
    output(plan_.stages.back().out);
    return std::move(sizes_);
  }

 private:
  static double numbers_of(int64_t channels, int64_t side) {
    return static_cast<double>(channels * side * side);
  }

  void weights(int64_t count, double times) {
    sizes_.parameters += count;
    sizes_.scaled_weights += count;
    sizes_.flops += 2 * times * static_cast<double>(count);
  }

  void convolution(int64_t in, int64_t out, int64_t kernel, int64_t side) {
    const int64_t count = in * out * kernel * kernel;
    sizes_.trunk_weights += count;
    weights(count, numbers_of(1, side));
  }

  // Inputs of the linear layer, of SiLU and of the blocks' linear layers; of a label its number and whether
  // it is hidden.
  void embedding() {
    const int64_t width = plan_.embedding_width;
    weights(plan_.features * width, 1);
    const bool labelled = image_.classes > 0;
    if (labelled) weights(image_.classes * width, 0);
    Segment segment;
    segment.input.fp32 = static_cast<double>(plan_.features + 2 * width) + (labelled ? 3 : 0);
    if (options_.second_time) {
      sizes_.parameters += 1;  // its gain
      weights(plan_.features * width, 1);
      segment.input.fp32 += static_cast<double>(plan_.features);
    }
    segment.forward.fp32 = segment.input.fp32;
    sizes_.segments.push_back(segment);
  }

  Segment first(const UNetStage& stage) {
    convolution(stage.in, stage.out, 3, stage.side);
    Segment segment;
    segment.input.computed = numbers_of(stage.in, stage.side);
    segment.gradients.computed = segment.forward.computed = numbers_of(stage.in + stage.out, stage.side);
    return segment;
  }

  // Both parts are scaled before they are put together.
  void concatenated(const UNetStage& stage) {
    Segment& segment = sizes_.segments.back();
    segment.closed = numbers_of(stage.in, stage.side);
    segment.forward.computed = std::max(segment.forward.computed, before_ + 2 * segment.closed);
  }

  Segment block(const UNetStage& stage) {
    const bool encodes = stage.section == UNetStage::Section::encoder;
    const bool has_skip = stage.in != stage.out;
    const int64_t side = stage.out_side();
    const double input = numbers_of(stage.in, stage.side);
    const double taken = numbers_of(stage.in, side);
    const double output = numbers_of(stage.out, side);
    const double branch = encodes ? output : taken;  // that the residual branch begins with
    sizes_.parameters += 1;                          // the embedding's gain
    weights(plan_.embedding_width * stage.out, 1);
    convolution(encodes ? stage.out : stage.in, stage.out, 3, side);
    convolution(stage.out, stage.out, 3, side);
    if (has_skip) convolution(stage.in, stage.out, 1, side);

    Segment segment;
    segment.recomputed = options_.activation_checkpointing;
    // Doubling the side keeps nothing of its input, halving it by operators alone.
    const bool kept = stage.resample == Resample::none || (stage.resample == Resample::down && !fused_);
    if (kept || segment.recomputed) segment.input.computed = input;
    double inner = stage.resample == Resample::none ? 0 : taken;
    if (encodes) {
      if (has_skip) inner += output;
      inner += output;  // the normalised
      if (!fused_) {
        inner += numbers_of(1, side);               // magnitudes
        segment.inner.fp32 += numbers_of(1, side);  // norms
      }
    }
    // SiLU's output; the first convolution's, the same scaled, and SiLU of that or what dropout leaves of it,
    // by operators with its mask.
    const bool has_mask = dropout_at(options_, side) > 0 && !fused_;
    inner += branch + (has_mask ? 4 : 3) * output + static_cast<double>(stage.out);
    segment.inner.computed += inner;
    if (options_.double_norm)  // the scale before, of operators its magnitude and norm too
      segment.inner.fp32 += static_cast<double>(stage.out) + (fused_ ? 0 : 2);
    const double wide = std::max({input, taken, output});
    segment.gradients.computed = std::max(3 * wide, 2 * wide + output);
    segment.forward.computed = input + std::max(wide + output, 3 * output);
    if (stage.heads > 0) attention(stage, segment);
    return segment;
  }

  // At the end of a block, recomputed with it.
  void attention(const UNetStage& stage, Segment& segment) {
    const double image = numbers_of(stage.out, stage.side);
    const double positions = numbers_of(1, stage.side);
    const double heads = static_cast<double>(stage.heads);
    convolution(stage.out, 3 * stage.out, 1, stage.side);
    convolution(stage.out, stage.out, 1, stage.side);
    sizes_.flops += 4 * positions * image;  // q·k and the sum of v, all heads
    // Its input; queries, keys and values as they come, and of unit magnitude; their mean.
    segment.inner.computed += 8 * image;
    segment.inner.fp32 += heads * positions;  // the logarithm of each row's sum
    if (!fused_) {
      segment.inner.computed += 3 * heads * positions;  // magnitudes
      segment.inner.fp32 += 3 * heads * positions;      // norms
    }
    segment.gradients.computed = std::max(segment.gradients.computed, 10 * image);
    segment.forward.computed = std::max(segment.forward.computed, 8 * image);
  }

  // In fp32.
  void output(int64_t channels) {
    const double last = numbers_of(channels, image_.size);
    weights(channels * image_.channels * 9, numbers_of(1, image_.size));
    sizes_.parameters += 1;  // its gain
    Segment segment;
    segment.input.fp32 = last + numbers_of(image_.channels, image_.size);
    segment.gradients.fp32 = segment.forward.fp32 = 2 * last;
    sizes_.segments.push_back(segment);
  }

  const UNetPlan& plan_;
  const Edm2Options& options_;
  const ImageSpec& image_;
  bool fused_;
  NetworkSizes sizes_;
  double before_ = 0;  // numbers that the stage before leaves behind
};

}  // namespace

NetworkSizes walked(const UNetPlan& plan, const Edm2Options& options, const ImageSpec& image,
                    Kernels kernels) {
  return Edm2Walk(plan, options, image, kernels).sizes();
}

}  // namespace cm
