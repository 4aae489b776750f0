#include "group_norm_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "cuda_number.h"

namespace cm::group_norm_cuda {
namespace {

constexpr int64_t kLargestSet = 1024;
constexpr int64_t kLargestInt = std::numeric_limits<int32_t>::max();
constexpr int64_t kMostNumbers = int64_t{1}
                                 << 30;  // of an image, so that a step past its end fits into an int

// Neighbouring bytes that a block reads at a position, two sectors of the memory.
constexpr int64_t kRowBytes = 64;

// What keeps a multiprocessor busy: blocks, and in each of these vectors for every thread.
constexpr int64_t kBlocksOfAProcessor = 4;
constexpr int64_t kVectorsOfAThread = 4;

constexpr int64_t kMostSlices = 256;
constexpr int64_t kSliceStep = 64;  // slices start at whole lines of memory, for vectors along positions

// Arrays of numbers a channel in shared memory, and two sums a vector's lane and thread.
constexpr int64_t kSharedArrays = 7;

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

struct Division {
  int64_t vector;
  int64_t unit;  // channels: whole groups and whole vectors
};

Division division_of(const PlannedInput& input) {
  const bool last = input.layout == NormLayout::channels_last;
  const int64_t width = input.channels / input.groups;
  const int64_t vector = cuda::kVectorBytes / input.bytes;
  const int64_t unit = last ? std::lcm(width, vector) : width;
  const bool whole = (last ? std::gcd(input.channels, input.seam) : input.positions) % vector == 0;
  return input.aligned && whole && unit <= kLargestSet ? Division{vector, unit} : Division{1, width};
}

// Enough channels that neither memory is read in crumbs nor threads are left without work, as long as there
// are blocks for the whole GPU.
int64_t set_of(const PlannedInput& input, const Division& division, int64_t wanted_blocks) {
  const int64_t most = std::min(input.channels, kLargestSet);
  int64_t set = division.unit;
  if (input.layout == NormLayout::channels_last) {
    set *= ceil_div(kRowBytes, division.unit * input.bytes);
    if (set > most) set = most / division.unit * division.unit;
  }
  const auto vectors = [&] { return set * input.positions / division.vector; };
  while (set * 2 <= most && vectors() < kThreads * kVectorsOfAThread &&
         input.batch * ceil_div(input.channels, set * 2) >= wanted_blocks) {
    set *= 2;
  }
  return set;
}

// One, unless half the GPU would have nothing to do.
int64_t slices_of(const PlannedInput& input, const Division& division, int64_t set, int64_t wanted_blocks) {
  const int64_t blocks = input.batch * ceil_div(input.channels, set);
  const int64_t vectors = set * input.positions / division.vector;
  if (blocks * 2 > wanted_blocks) return 1;
  return std::clamp(vectors / (kThreads * kVectorsOfAThread), int64_t{1},
                    std::min(kMostSlices, wanted_blocks / blocks));
}

// Threads along a channel's positions: a power of two, so that they can add up by shuffles.
int64_t lanes_along(int64_t vectors) {
  constexpr int64_t kWarp = 32;
  int64_t lanes = 1;
  while (lanes * 2 <= std::min(vectors, kWarp)) lanes *= 2;
  return lanes;
}

}  // namespace

std::optional<Plan> plan_for(const PlannedInput& input, int multiprocessors) {
  const bool last = input.layout == NormLayout::channels_last;
  const Division division = division_of(input);
  if (division.unit > kLargestSet || input.channels * input.positions > kMostNumbers) return std::nullopt;
  const int64_t wanted_blocks = multiprocessors * kBlocksOfAProcessor;
  const int64_t set = set_of(input, division, wanted_blocks);
  const int64_t slices = slices_of(input, division, set, wanted_blocks);
  int64_t slice = ceil_div(input.positions, slices);
  if (slices > 1) slice = ceil_div(slice, kSliceStep) * kSliceStep;
  const int64_t sets = ceil_div(input.channels, set);
  const int64_t blocks = input.batch * sets * ceil_div(input.positions, slice);
  if (blocks > kLargestInt) return std::nullopt;
  const int64_t scratch = last ? 2 * division.vector * kThreads : 0;
  return Plan{
      .layout = input.layout,
      .channels = static_cast<int>(input.channels),
      .positions = static_cast<int>(input.positions),
      .groups = static_cast<int>(input.groups),
      .vector = static_cast<int>(division.vector),
      .set = static_cast<int>(set),
      .sets = static_cast<int>(sets),
      .slice = static_cast<int>(slice),
      .slices = static_cast<int>(ceil_div(input.positions, slice)),
      .lanes = static_cast<int>(last ? std::min<int64_t>(set / division.vector, kThreads)
                                     : lanes_along(std::min(slice, input.positions) / division.vector)),
      .blocks = blocks,
      .shared_bytes = static_cast<size_t>(kSharedArrays * set + scratch) * sizeof(float)};
}

// Two numbers for each slice of a group and one for that of a channel.
int64_t forward_workspace(const Plan& plan, int64_t batch) {
  return plan.slices == 1 ? 0 : batch * (2 * plan.groups + plan.channels) * plan.slices;
}

// Two numbers for each channel of an image, and for each slice of it.
int64_t backward_workspace(const Plan& plan, int64_t batch) {
  return 2 * batch * plan.channels * (plan.slices == 1 ? 1 : 1 + plan.slices);
}

}  // namespace cm::group_norm_cuda
