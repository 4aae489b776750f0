#include "operator_times.h"

#include <ATen/record_function.h>

#include <algorithm>
#include <ctime>
#include <iomanip>
#include <sstream>
#include <unordered_map>

#include "cm/bench/measurement.h"

namespace cm {
namespace {

// The calls that are open, and what has been added up. The backward pass on a GPU has a thread of its own,
// for which the caller waits.
struct Frame {
  std::string name;
  double start;
  double inner;  // time in the operators that it called
};

struct Recorder {
  std::vector<Frame> open;
  std::unordered_map<std::string, OperatorTime> found;
  double covered = 0;
  bool by_shape;
  torch::Device device;
};

Recorder* recorder = nullptr;

double now_ms() {
  synchronize(recorder->device);
  timespec time{};
  clock_gettime(recorder->device.is_cpu() ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return 1e3 * static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_nsec);
}

std::string name_of(const at::RecordFunction& function) {
  if (!recorder->by_shape) return function.name();
  std::ostringstream name;
  name << function.name();
  for (const auto& input : function.inputs()) {
    if (input.isTensor() && input.toTensor().defined()) name << ' ' << input.toTensor().sizes();
  }
  return name.str();
}

std::unique_ptr<at::ObserverContext> begin_operator(const at::RecordFunction& function) {
  if (recorder == nullptr) return nullptr;
  const std::string name = name_of(function);  // here: operators in place may change their inputs
  recorder->open.push_back({.name = name, .start = now_ms(), .inner = 0});
  return nullptr;
}

void end_operator(const at::RecordFunction&, at::ObserverContext*) {
  if (recorder == nullptr || recorder->open.empty()) return;
  const Frame frame = std::move(recorder->open.back());
  recorder->open.pop_back();
  const double whole = now_ms() - frame.start;
  OperatorTime& entry = recorder->found[frame.name];
  entry.self_ms += whole - frame.inner;
  ++entry.calls;
  if (recorder->open.empty()) {
    recorder->covered += whole;
  } else {
    recorder->open.back().inner += whole;
  }
}

}  // namespace

std::vector<OperatorTime> operator_times(const std::function<void()>& body, bool by_shape,
                                         const torch::Device& device) {
  Recorder here{.open = {}, .found = {}, .by_shape = by_shape, .device = device};
  recorder = &here;
  const auto handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback(begin_operator, end_operator).needsInputs(by_shape));
  const double start = now_ms();
  body();
  const double whole = now_ms() - start;
  at::removeCallback(handle);
  recorder = nullptr;
  std::vector<OperatorTime> operators;
  for (auto& [name, entry] : here.found) {
    entry.name = name;
    operators.push_back(entry);
  }
  std::ranges::sort(operators, std::greater(), &OperatorTime::self_ms);
  operators.push_back({.name = "outside operators", .self_ms = whole - here.covered, .calls = 0});
  return operators;
}

std::string operator_table(const std::vector<OperatorTime>& operators, int64_t steps) {
  double total = 0;
  for (const auto& entry : operators) total += entry.self_ms;
  const auto count = static_cast<double>(steps);
  std::ostringstream out;
  out << std::left << std::setw(58) << "own time, a step" << std::right << std::setw(10) << "ms"
      << std::setw(8) << "%" << std::setw(10) << "calls" << '\n';
  for (const auto& entry : operators) {
    if (entry.self_ms < total / 100) continue;
    out << std::left << std::setw(58) << entry.name << std::right << std::fixed << std::setprecision(3)
        << std::setw(10) << entry.self_ms / count << std::setprecision(1) << std::setw(8)
        << 100 * entry.self_ms / total << std::setw(10) << static_cast<double>(entry.calls) / count << '\n';
  }
  return out.str();
}

}  // namespace cm
