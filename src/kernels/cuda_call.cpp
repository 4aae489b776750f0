#include "cuda_call.h"

#include <array>
#include <atomic>

namespace cm::cuda {
namespace {

bool ask(const torch::Device& device) {
  const c10::DeviceGuard guard(device);
  if constexpr (kernels_are_built) return has_kernels();
  return false;
}

}  // namespace

// Asks once for each GPU.
bool has_kernels_for(const torch::Device& device) {
  enum class Answer : char { unknown, yes, no };
  constexpr size_t kMostDevices = 128;
  static std::array<std::atomic<Answer>, kMostDevices> answers{};
  if (!kernels_are_built || !device.is_cuda()) return false;
  const auto index = static_cast<size_t>(device.index());
  if (index >= answers.size()) return ask(device);
  if (answers[index] == Answer::unknown) answers[index] = ask(device) ? Answer::yes : Answer::no;
  return answers[index] == Answer::yes;
}

}  // namespace cm::cuda
