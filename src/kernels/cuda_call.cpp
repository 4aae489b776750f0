#include "cuda_call.h"

#include <array>
#include <atomic>

namespace cm::cuda {
namespace {

bool ask(const torch::Device& device) {
  const c10::DeviceGuard guard(device);
  if constexpr (is_built) return has_kernels();
  return false;
}

}  // namespace

Number number_of(const Tensor& x) {
  if (x.scalar_type() == torch::kFloat16) return Number::fp16;
  if (x.scalar_type() == torch::kBFloat16) return Number::bf16;
  return Number::fp32;
}

// Asks once for each GPU.
bool has_kernels_for(const torch::Device& device) {
  enum class Answer : char { unknown, yes, no };
  constexpr size_t kMostDevices = 256;  // a device's number has eight bits
  static std::array<std::atomic<Answer>, kMostDevices> answers{};
  if (!is_built || !device.is_cuda()) return false;
  std::atomic<Answer>& answer = answers[static_cast<uint8_t>(device.index())];
  if (answer == Answer::unknown) answer = ask(device) ? Answer::yes : Answer::no;
  return answer == Answer::yes;
}

}  // namespace cm::cuda
