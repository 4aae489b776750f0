// Where the time goes: each operator's own, without that of the operators that it calls. On the CPU that is
// processor time of the thread that calls it; on a GPU, wall time with a wait for the device before and after
// each, so that what it queued counts as its own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cm/base/tensor.h"

namespace cm {

struct OperatorTime {
  std::string name;  // aten::mkldnn_convolution, or aten::mkldnn_convolution [16, 64, 32, 32] [64, 64, 3, 3]
  double self_ms = 0;
  int64_t calls = 0;
};

// Runs `body` and returns its operators, the slowest first; the last entry, "outside operators", is the rest
// of the calling thread's time. With several threads of the CPU the work of the others is not counted, but
// the caller's part of it is. `by_shape` counts calls with tensors of other sizes apart. One call at a time
// in a process.
std::vector<OperatorTime> operator_times(const std::function<void()>& body, bool by_shape = false,
                                         const torch::Device& device = torch::kCPU);

// A table of all operators above a hundredth of the total, milliseconds and calls divided by `steps`.
std::string operator_table(const std::vector<OperatorTime>& operators, int64_t steps);

}  // namespace cm
