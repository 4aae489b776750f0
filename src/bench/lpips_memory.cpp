#include "cm/bench/lpips_memory.h"

#include <algorithm>
#include <array>

namespace cm {
namespace {

struct Stage {
  int64_t convolutions;
  int64_t channels;
};
// VGG16's; each stage halves the side of the one before.
constexpr std::array<Stage, 5> kStages = {{{2, 64}, {2, 128}, {3, 256}, {3, 512}, {3, 512}}};

constexpr int64_t kSmallerThan = 256;
constexpr int64_t kResizedSide = 224;

}  // namespace

// All of it is fp32. A stage keeps its input and what its ReLUs leave; the root of its squares, that root's
// inverse with and without zeros, and where they are (a byte each); and the difference of both batches.
NetworkSizes lpips_sizes(int64_t image_size) {
  NetworkSizes sizes;
  int64_t side = image_size < kSmallerThan ? kResizedSide : image_size;
  int64_t in = 3;
  double unit_features = 0;
  for (const auto& [convolutions, channels] : kStages) {
    const auto positions = static_cast<double>(side * side);
    const double features = static_cast<double>(channels) * positions;
    sizes.parameters += 9 * channels * (in + (convolutions - 1) * channels) + convolutions * channels;
    sizes.parameters += channels;  // of the layer's weights in the distance
    Segment segment;
    segment.input.fp32 = static_cast<double>(in) * positions;
    segment.inner.fp32 = static_cast<double>(convolutions + 1) * features + 3.25 * positions;
    segment.gradients.fp32 = 3 * features;
    segment.forward.fp32 = 2 * unit_features + 3 * features;
    sizes.segments.push_back(segment);
    unit_features += features;
    in = channels;
    side /= 2;
  }
  // Both batches' features are held until the distance is there; the largest difference and its square.
  Segment& last = sizes.segments.back();
  last.gradients.fp32 = std::max(last.gradients.fp32, 2 * unit_features);
  last.forward.fp32 = 2 * (unit_features + sizes.segments.front().gradients.fp32 / 3);
  return sizes;
}

}  // namespace cm
