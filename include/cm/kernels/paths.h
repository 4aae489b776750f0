// Which path the calls of this module's kernels took: a kernel of ours, or LibTorch's operators and for which
// reason. Counted always, over all threads of the process.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cm/base/fields.h"

namespace cm {

// Functions of cm/kernels, named as there. The gradient of a call that LibTorch's operators took is theirs as
// well, and not counted again. The tangent of a convolution is another convolution.
enum class Kernel {
  convolution_3x3,
  convolution_3x3_gradient,
  group_norm,
  group_norm_gradient,
  group_norm_tangent,
  unit_rows,  // and scale_rows
  unit_rows_gradient,
  residual_sum,
  spread_2x2,  // and the gradient of gather_2x2
  gather_2x2,  // and that of spread_2x2
  dropout,     // and its gradient
  normal,
  norm_of,
  adam_update,
  update_averages,  // one call an average
};

// What keeps a kernel from a call.
enum class Obstacle {
  device,      // which has none, or tensors on several
  processor,   // has not the instructions that it is written for
  autocast,    // would change types on the way
  type,        // of the numbers
  tangent,     // of parameters, in forward-mode differentiation
  twice,       // the gradient is to be differentiated
  layout,      // no strided array
  strides,     // of tensors that go together differ, or numbers lie apart or on one another
  empty,       // nothing to compute
  size,        // too large
  channels,    // no multiple of what vectors take
  odd_side,    // of the images
  few_pixels,  // fewer than make it worth while
  numbers,     // of a step, which are none of its types on the parameters' device
};
template <>
inline constexpr std::string_view kNameOf<Obstacle::device> = "no kernel on the device";
template <>
inline constexpr std::string_view kNameOf<Obstacle::processor> = "processor without AVX2";
template <>
inline constexpr std::string_view kNameOf<Obstacle::twice> = "differentiated twice";
template <>
inline constexpr std::string_view kNameOf<Obstacle::layout> = "no strided array";
template <>
inline constexpr std::string_view kNameOf<Obstacle::channels> = "channels no multiple of 16";
template <>
inline constexpr std::string_view kNameOf<Obstacle::odd_side> = "odd side";
template <>
inline constexpr std::string_view kNameOf<Obstacle::few_pixels> = "few pixels";
template <>
inline constexpr std::string_view kNameOf<Obstacle::numbers> = "numbers not on the device";

// Counts a call of a kernel, and returns the obstacle to it, if there is one.
std::optional<Obstacle> counted(Kernel kernel, std::optional<Obstacle> obstacle);

struct PathCounts {
  int64_t by_kernel = 0;
  std::map<Obstacle, int64_t> by_operators;

  friend bool operator==(const PathCounts&, const PathCounts&) = default;
};

// Of kernels that were called.
using KernelCalls = std::map<Kernel, PathCounts>;

// Those of `body`, and whatever other threads do meanwhile.
KernelCalls kernel_calls_during(const std::function<void()>& body);

// One line a kernel: "convolution_3x3: 46 by the kernel, 4 by LibTorch (channels no multiple of 16: 4)".
std::vector<std::string> lines_of(const KernelCalls& calls);

}  // namespace cm
