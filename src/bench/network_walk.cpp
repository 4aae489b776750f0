#include "network_walk.h"

#include <algorithm>

namespace cm {
namespace {

int64_t resampled(int64_t side, Resample direction) {
  switch (direction) {
    case Resample::none:
      return side;
    case Resample::up:
      return 2 * side;
    case Resample::down:
      return side / 2;
  }
  TORCH_INTERNAL_ASSERT(false, "not a direction");
}

// Resampling keeps its input: a mean of 2 × 2 for its shape, the binomial filter as every convolution does.
bool keeps_input(Resample direction, ResampleFilter filter) {
  return direction == Resample::down || (direction == Resample::up && filter == ResampleFilter::binomial);
}

}  // namespace

void NetworkWalk::linear(int64_t in, int64_t out) {
  sizes_.parameters += in * out + out;
  multiply_adds(static_cast<double>(in * out));
}

void NetworkWalk::trunk_convolution(int64_t in, int64_t out, int64_t kernel, int64_t side) {
  const int64_t weights = in * out * kernel * kernel;
  sizes_.parameters += weights + out;
  sizes_.trunk_weights += weights;
  multiply_adds(numbers(weights, side));
}

void NetworkWalk::norm(int64_t channels, Segment& segment) {
  sizes_.parameters += 2 * channels;
  segment.inner.fp32 += static_cast<double>(2 * groups_of_(channels));  // mean and 1/standard deviation
}

// Inputs of the two linear layers, of the two SiLUs behind them, and of the blocks' own linear layers; of a
// label its row or number and whether it is hidden.
void NetworkWalk::embedding(int64_t features, int64_t width, bool labelled) {
  linear(features, width);
  linear(width, width);
  Segment segment;
  segment.input.fp32 = static_cast<double>(features + 4 * width) + (labelled ? 3 : 0);
  segment.forward.fp32 = segment.input.fp32;
  add(segment);
}

void NetworkWalk::convolution(int64_t in, int64_t out, int64_t kernel, int64_t side_in, int64_t side_out) {
  trunk_convolution(in, out, kernel, side_out);
  Segment segment;
  segment.input.computed = numbers(in, side_in);
  segment.gradients.computed = numbers(in, side_in) + numbers(out, side_out);
  segment.forward = segment.gradients;
  add(segment);
}

double NetworkWalk::kept_between(const ResBlockShape& shape) const {
  if (shape.double_norm) return 2;  // the normalised, and what SiLU takes
  if (kernels_ == Kernels::fused) return 0;
  return shape.scale_shift_norm ? 2 : 1;
}

// The condition, or 1 + its first half; each half normalised with what its root mean square takes.
double NetworkWalk::condition_numbers(const ResBlockShape& shape) const {
  if (!shape.scale_shift_norm) return 0;
  if (shape.double_norm) return static_cast<double>(3 * shape.out);
  return static_cast<double>(kernels_ == Kernels::fused ? 2 * shape.out : shape.out);
}

Segment NetworkWalk::res_block(const ResBlockShape& shape) {
  const double between = kernels_ == Kernels::fused ? 0 : 1;
  const int64_t side = resampled(shape.side, shape.resample);
  const double input = numbers(shape.in, shape.side);
  const double taken = numbers(shape.in, side);  // by the first convolution
  const double output = numbers(shape.out, side);
  const bool changes = shape.resample != Resample::none;
  Segment segment;
  segment.input.computed = input;
  norm(shape.in, segment);
  segment.inner.computed += between * input + taken;
  if (keeps_input(shape.resample, shape.filter)) segment.inner.computed += input;
  trunk_convolution(shape.in, shape.out, 3, side);
  linear(shape.embedding_width, shape.scale_shift_norm ? 2 * shape.out : shape.out);
  norm(shape.out, segment);
  segment.inner.fp32 += condition_numbers(shape);
  // Input of the second norm; input of the second convolution, and with dropout the mask.
  segment.inner.computed += (1 + kept_between(shape) + (shape.dropout ? 2 : 1)) * output;
  trunk_convolution(shape.out, shape.out, 3, side);
  if (shape.skip_convolution) {
    trunk_convolution(shape.in, shape.out, 1, side);
    if (changes) segment.inner.computed += taken;
  }
  const double wide = std::max(input, taken);
  segment.gradients.computed = std::max({3 * wide, 2 * wide + output, wide + 2 * output});
  segment.recomputed = shape.recomputed;
  if (shape.recomputed) segment.gradients.computed += output;  // held until the block is through
  segment.forward.computed = input + std::max({2 * wide, wide + output, 3 * output});
  return segment;
}

Segment NetworkWalk::attention(int64_t channels, int64_t side, int64_t heads) {
  const double image = numbers(channels, side);
  const double positions = numbers(1, side);
  Segment segment;
  segment.input.computed = image;
  norm(channels, segment);
  trunk_convolution(channels, 3 * channels, 1, side);
  trunk_convolution(channels, channels, 1, side);
  multiply_adds(2 * positions * image);  // q·k and the sum of v, all heads
  // The normalised image; queries, keys, values; their mean, which the last convolution takes.
  segment.inner.computed = 5 * image;
  segment.gradients.computed = 6 * image;
  segment.forward.computed = 6 * image;
  segment.inner.fp32 += static_cast<double>(heads) * positions;  // the logarithm of each row's sum
  return segment;
}

void NetworkWalk::output(int64_t channels, const ImageSpec& image) {
  const double last = numbers(channels, image.size);
  Segment segment;
  norm(channels, segment);
  sizes_.parameters += channels * image.channels * 9 + image.channels;
  multiply_adds(numbers(channels * image.channels * 9, image.size));
  segment.input.fp32 = (kernels_ == Kernels::fused ? 2 : 3) * last + numbers(image.channels, image.size);
  segment.gradients.fp32 = 2 * last;
  segment.forward.fp32 = 2 * last;
  add(segment);
}

}  // namespace cm
