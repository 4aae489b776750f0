#include "network_walk.h"

#include <algorithm>

namespace cm {
namespace {

using Kind = UNetStage::Kind;

// Of an image or a map of features.
double numbers(int64_t channels, int64_t side) {
  return static_cast<double>(channels * side * side);
}

// The binomial filter keeps its input as every convolution does, LibTorch's mean of 2 × 2 for its shape.
bool keeps_input(Resample direction, ResampleFilter filter, Kernels kernels) {
  if (filter == ResampleFilter::binomial) return direction != Resample::none;
  return direction == Resample::down && kernels == Kernels::operators;
}

class NetworkWalk {
 public:
  NetworkWalk(const UNetPlan& plan, const UNetOptions& options, const ImageSpec& image, Kernels kernels)
      : plan_(plan), options_(options), image_(image), kernels_(kernels) {}

  NetworkSizes sizes() {
    embedding();
    double before = 0;  // numbers of what the stage before made
    for (const auto& stage : plan_.stages) {
      if (opened_) skips_.back().kept = keeps_what_it_takes(stage);
      add(stage);
      if (stage.closes) joined(before);
      before = numbers(stage.out, stage.out_side());
      opened_ = stage.opens;
      if (opened_) skips_.push_back({.numbers = sizes_.segments.back().opened = before});
    }
    output(plan_.stages.back().out);
    return std::move(sizes_);
  }

 private:
  void add(const UNetStage& stage) {
    switch (stage.kind) {
      case Kind::convolution:
        return convolution(stage);
      case Kind::block:
        return push(block(stage));
      case Kind::attention:
        return push(attention(stage));
      case Kind::resampling:
        return resampling(stage);
      case Kind::image:
        return shrunk_image(stage);
    }
    TORCH_INTERNAL_ASSERT(false, "not a kind of stage");
  }

  // What a skip connection carries, and whether the stage behind its start keeps that anyway.
  struct Skip {
    double numbers;
    bool kept = false;
  };

  bool keeps_what_it_takes(const UNetStage& stage) const {
    return stage.kind != Kind::resampling || keeps_input(stage.resample, ResampleFilter::box, kernels_);
  }

  // A block that has taken what came before beside the end of a skip connection, which waits until it is
  // through. The kernels read both where they lie; the operators' normalisation keeps a copy of both, the
  // block's input.
  void joined(double before) {
    Segment& segment = sizes_.segments.back();
    const Skip skip = skips_.back();
    skips_.pop_back();
    segment.closed = skip.numbers;
    segment.forward.computed -= skip.numbers;
    if (skip.kept) segment.input.computed -= skip.numbers;
    if (kernels_ == Kernels::operators) {
      segment.inner.computed += before + skip.numbers;
      segment.forward.computed += before + skip.numbers;
    }
  }

  void push(const Segment& segment) { sizes_.segments.push_back(segment); }
  void multiply_adds(double count) { sizes_.flops += 2 * count; }

  void linear(int64_t in, int64_t out) {
    sizes_.parameters += in * out + out;
    multiply_adds(static_cast<double>(in * out));
  }

  // `side`: of what it makes.
  void trunk_convolution(int64_t in, int64_t out, int64_t kernel, int64_t side) {
    const int64_t weights = in * out * kernel * kernel;
    sizes_.parameters += weights + out;
    sizes_.trunk_weights += weights;
    multiply_adds(numbers(weights, side));
  }

  void norm(int64_t channels, Segment& segment) {
    sizes_.parameters += 2 * channels;
    segment.inner.fp32 += static_cast<double>(2 * plan_.style.groups(channels));  // mean and 1/std. deviation
  }

  // Inputs of the two linear layers, of the two SiLUs behind them, and of the blocks' own linear layers; of a
  // label its row or number and whether it is hidden. They are the same for any size of the image.
  void embedding() {
    const int64_t width = plan_.embedding_width;
    linear(plan_.features, width);
    linear(width, width);
    const bool labelled = image_.classes > 0;
    if (labelled && plan_.labels_are_linear) sizes_.parameters += (image_.classes + 1) * plan_.features;
    if (labelled && !plan_.labels_are_linear) sizes_.parameters += image_.classes * width;
    Segment segment;
    segment.input.fp32 = static_cast<double>(plan_.features + 4 * width) + (labelled ? 3 : 0);
    if (options_.second_time) {
      sizes_.parameters += plan_.features * width;
      multiply_adds(static_cast<double>(plan_.features * width));
      segment.input.fp32 += static_cast<double>(plan_.features);
    }
    segment.forward.fp32 = segment.input.fp32;
    push(segment);
  }

  // Keeps what it takes, which on the way up has the new size; nothing else keeps that.
  void convolution(const UNetStage& stage) {
    const int64_t taken = std::max(stage.side, stage.out_side());
    trunk_convolution(stage.in, stage.out, 3, stage.out_side());
    Segment segment;
    segment.input.computed = numbers(stage.in, taken);
    segment.gradients.computed = numbers(stage.in, taken) + numbers(stage.out, stage.out_side());
    segment.forward = segment.gradients;
    push(segment);
  }

  void resampling(const UNetStage& stage) {
    Segment segment;
    if (keeps_input(stage.resample, ResampleFilter::box, kernels_))
      segment.input.computed = numbers(stage.in, stage.side);
    segment.forward.computed = segment.gradients.computed =
        2 * numbers(stage.in, std::max(stage.side, stage.out_side()));
    push(segment);
  }

  // Kept between a conditioned norm's input and its activation's output, by numbers of that output.
  double kept_between() const {
    if (options_.double_norm) return 2;  // the normalised, and what SiLU takes
    if (kernels_ == Kernels::fused) return 0;
    return plan_.scale_shift_norm ? 2 : 1;
  }

  // The condition, or 1 + its first half; each half normalised with what its root mean square takes.
  double condition_numbers(int64_t channels) const {
    if (!plan_.scale_shift_norm) return 0;
    if (options_.double_norm) return static_cast<double>(3 * channels);
    return static_cast<double>(kernels_ == Kernels::fused ? 2 * channels : channels);
  }

  // Beyond what the block kept. By the kernels, unless it is recomputed, that goes as its gradients come: the
  // result's, and that of the branch, of what skips or of the input.
  double residual_gradients(double input, double taken, double output) const {
    const double wide = std::max(input, taken);
    if (kernels_ == Kernels::operators || options_.activation_checkpointing) {
      return std::max({3 * wide, 2 * wide + output, wide + 2 * output});
    }
    return (options_.double_norm ? 3 : 1) * output + std::max(wide, output);
  }

  Segment residual(const UNetStage& stage) {
    const double between = kernels_ == Kernels::fused ? 0 : 1;
    const int64_t side = stage.out_side();
    const double input = numbers(stage.in, stage.side);
    const double taken = numbers(stage.in, side);  // by the first convolution
    const double output = numbers(stage.out, side);
    Segment segment;
    segment.input.computed = input;
    norm(stage.in, segment);
    segment.inner.computed += between * input + taken;
    if (keeps_input(stage.resample, plan_.style.filter, kernels_)) segment.inner.computed += input;
    trunk_convolution(stage.in, stage.out, 3, side);
    linear(plan_.embedding_width, plan_.scale_shift_norm ? 2 * stage.out : stage.out);
    norm(stage.out, segment);
    // What its bias' gradient takes, and the sum of bias and condition where that is added.
    const int64_t of_bias = plan_.scale_shift_norm ? 1 : 2;
    if (kernels_ == Kernels::fused) segment.inner.fp32 += static_cast<double>(of_bias * stage.out);
    segment.inner.fp32 += condition_numbers(stage.out);
    // Input of the second norm; input of the second convolution, and of dropout by operators the mask.
    const bool has_mask = options_.dropout > 0 && kernels_ == Kernels::operators;
    segment.inner.computed += (1 + kept_between() + (has_mask ? 2 : 1)) * output;
    trunk_convolution(stage.out, stage.out, 3, side);
    if (has_skip_convolution(stage, plan_.style)) {
      trunk_convolution(stage.in, stage.out, 1, side);
      if (stage.resample != Resample::none) segment.inner.computed += taken;
    }
    segment.gradients.computed = residual_gradients(input, taken, output);
    segment.recomputed = options_.activation_checkpointing;
    if (segment.recomputed) segment.gradients.computed += output;  // held until the block is through
    // What is normalised and resampled; what is convolved; what is normalised again; what skips, resampled
    // and convolved, beside the branch and their sum.
    const double resampled = stage.resample == Resample::none ? 0 : taken;
    const double normed = (options_.double_norm ? 2 : 0) + (kernels_ == Kernels::fused ? 2 : 3);
    const double by_operators = kernels_ == Kernels::fused ? 0 : plan_.style.halves_variance ? 2 : 1;
    const bool convolved = has_skip_convolution(stage, plan_.style);
    segment.forward.computed =
        input + std::max({input + resampled, taken + output, normed * output, resampled + 2 * output,
                          (convolved ? output : resampled) + (2 + by_operators) * output});
    return segment;
  }

  // With the attention at its end, which is recomputed with it.
  Segment block(const UNetStage& stage) {
    Segment segment = residual(stage);
    if (stage.heads == 0) return segment;
    const Segment end = attention(stage);
    segment.inner += end.input;
    segment.inner += end.inner;
    segment.gradients.computed = std::max(segment.gradients.computed, end.gradients.computed);
    segment.forward.computed = std::max(segment.forward.computed, end.forward.computed);
    return segment;
  }

  Segment attention(const UNetStage& stage) {
    const double image = numbers(stage.out, stage.side);
    const double positions = numbers(1, stage.side);
    Segment segment;
    segment.input.computed = image;
    norm(stage.out, segment);
    trunk_convolution(stage.out, 3 * stage.out, 1, stage.side);
    trunk_convolution(stage.out, stage.out, 1, stage.side);
    multiply_adds(2 * positions * image);  // q·k and the sum of v, all heads
    // The normalised image; queries, keys, values; their mean, which the last convolution takes.
    segment.inner.computed = 5 * image;
    segment.gradients.computed = 6 * image;
    segment.forward.computed = 6 * image;
    segment.inner.fp32 += static_cast<double>(stage.heads) * positions;  // the logarithm of each row's sum
    return segment;
  }

  // NCSN++'s image beside the features: both convolutions keep their inputs, the first one only of the first
  // level, for deeper ones it is a block's input already; what it makes has two pixels more than the image.
  void shrunk_image(const UNetStage& stage) {
    trunk_convolution(stage.in, stage.out, 3, stage.side + 2);
    sizes_.segments.back().input.computed += numbers(stage.out, stage.side + 2);
  }

  // Last norm and convolution, in fp32.
  void output(int64_t channels) {
    const double last = numbers(channels, image_.size);
    Segment segment;
    norm(channels, segment);
    sizes_.parameters += channels * image_.channels * 9 + image_.channels;
    multiply_adds(numbers(channels * image_.channels * 9, image_.size));
    segment.input.fp32 = (kernels_ == Kernels::fused ? 2 : 3) * last + numbers(image_.channels, image_.size);
    segment.gradients.fp32 = 2 * last;
    segment.forward.fp32 = 2 * last;
    push(segment);
  }

  const UNetPlan& plan_;
  const UNetOptions& options_;
  const ImageSpec& image_;
  Kernels kernels_;
  NetworkSizes sizes_;
  std::vector<Skip> skips_;
  bool opened_ = false;  // by the stage before
};

}  // namespace

NetworkSizes walked(const UNetPlan& plan, const UNetOptions& options, const ImageSpec& image,
                    Kernels kernels) {
  return NetworkWalk(plan, options, image, kernels).sizes();
}

}  // namespace cm
