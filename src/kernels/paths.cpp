#include "cm/kernels/paths.h"

#include <atomic>

#include "cm/base/text.h"

namespace cm {
namespace {

constexpr size_t kKernels = EnumNames<Kernel>::names.size();
constexpr size_t kPaths = 1 + EnumNames<Obstacle>::names.size();  // the kernel's own is the first

using PathTable = std::array<std::array<std::atomic<int64_t>, kPaths>, kKernels>;
PathTable calls_so_far{};

size_t path_of(std::optional<Obstacle> obstacle) {
  return obstacle ? 1 + static_cast<size_t>(*obstacle) : 0;
}

int64_t so_far(Kernel kernel, std::optional<Obstacle> obstacle) {
  return calls_so_far[static_cast<size_t>(kernel)][path_of(obstacle)].load(std::memory_order_relaxed);
}

KernelCalls kernel_calls() {
  KernelCalls calls;
  for (const auto& [kernel, _] : EnumNames<Kernel>::names) {
    calls[kernel].by_kernel = so_far(kernel, std::nullopt);
    for (const auto& [obstacle, name] : EnumNames<Obstacle>::names) {
      calls[kernel].by_operators[obstacle] = so_far(kernel, obstacle);
    }
  }
  return calls;
}

}  // namespace

std::optional<Obstacle> counted(Kernel kernel, std::optional<Obstacle> obstacle) {
  calls_so_far[static_cast<size_t>(kernel)][path_of(obstacle)].fetch_add(1, std::memory_order_relaxed);
  return obstacle;
}

KernelCalls kernel_calls_during(const std::function<void()>& body) {
  const KernelCalls before = kernel_calls();
  body();
  KernelCalls calls = kernel_calls();
  for (auto& [kernel, counts] : calls) {
    const PathCounts& old = before.at(kernel);
    counts.by_kernel -= old.by_kernel;
    for (auto& [obstacle, count] : counts.by_operators) count -= old.by_operators.at(obstacle);
    std::erase_if(counts.by_operators, [](const auto& entry) { return entry.second == 0; });
  }
  std::erase_if(calls, [](const auto& entry) { return entry.second == PathCounts(); });
  return calls;
}

std::vector<std::string> lines_of(const KernelCalls& calls) {
  std::vector<std::string> lines;
  for (const auto& [kernel, counts] : calls) {
    int64_t all = 0;
    std::vector<std::string> reasons;
    for (const auto& [obstacle, count] : counts.by_operators) {
      all += count;
      reasons.push_back(concat(to_string(obstacle), ": ", count));
    }
    lines.push_back(concat(to_string(kernel), ": ", counts.by_kernel, " by the kernel",
                           all == 0 ? "" : concat(", ", all, " by LibTorch (", join(reasons), ")")));
  }
  return lines;
}

}  // namespace cm
