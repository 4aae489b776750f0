// Repeats of one piece of work: wall time, processor time, memory.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "cm/base/tensor.h"

namespace cm {

struct RepeatOptions {
  int64_t warmup = 2;
  int64_t steps = 10;
  double max_seconds = 30;
};

// Milliseconds of each measured repeat. Processor time is that of all threads of the process, which other
// work on the machine disturbs less than wall time.
struct Repeats {
  std::vector<double> wall_ms;
  std::vector<double> cpu_ms;
};

double median(std::vector<double> values);
double smallest(const std::vector<double>& values);

// Waits for all that was queued on the device; nothing to wait for on the CPU.
void synchronize(const torch::Device& device);

// Seconds of processor time that this process has used.
double process_cpu_seconds();

// Calls `body` `warmup` times, then measures up to `steps` calls, each with the wait for the device; none
// begins after `max_seconds`, but for the first three.
Repeats measure_repeats(const RepeatOptions& options, const torch::Device& device,
                        const std::function<void()>& body);

// The largest resident set of this process so far, MiB.
double peak_rss_mb();

// The largest sum of tensors on a GPU so far, MiB; 0 on the CPU.
double peak_device_mb(const torch::Device& device);

}  // namespace cm
