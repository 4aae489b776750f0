#include "cm/bench/measurement.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <sys/resource.h>

#include <algorithm>
#include <ctime>

#include "cm/base/clock.h"

namespace cm {
namespace {

constexpr double kMebibyte = 1024 * 1024;
constexpr size_t kFewest = 3;

}  // namespace

double median(std::vector<double> values) {
  TORCH_CHECK(!values.empty(), "the median of nothing");
  std::ranges::sort(values);
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double smallest(const std::vector<double>& values) {
  TORCH_CHECK(!values.empty(), "the smallest of nothing");
  return *std::ranges::min_element(values);
}

void synchronize(const torch::Device& device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  guard.synchronizeDevice(device.has_index() ? device.index() : guard.getDevice().index());
}

double process_cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

Repeats measure_repeats(const RepeatOptions& options, const torch::Device& device,
                        const std::function<void()>& body) {
  for (int64_t i = 0; i < options.warmup; ++i) body();
  synchronize(device);
  Repeats repeats;
  const double start = seconds_now();
  for (int64_t i = 0; i < options.steps; ++i) {
    if (repeats.wall_ms.size() >= kFewest && seconds_now() - start > options.max_seconds) break;
    const double cpu = process_cpu_seconds();
    const double begin = seconds_now();
    body();
    synchronize(device);
    repeats.wall_ms.push_back(1e3 * (seconds_now() - begin));
    repeats.cpu_ms.push_back(1e3 * (process_cpu_seconds() - cpu));
  }
  return repeats;
}

double peak_rss_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;  // Linux counts KiB
}

double peak_device_mb(const torch::Device& device) {
  if (device.is_cpu()) return 0;
  const auto stats = at::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return static_cast<double>(stats.allocated_bytes[all].peak) / kMebibyte;
}

}  // namespace cm
