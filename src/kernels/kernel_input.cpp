#include "kernel_input.h"

#include <ATen/autocast_mode.h>

#include <algorithm>

#ifdef CM_CUDA_KERNELS
#include <c10/cuda/CUDAGuard.h>

#include <array>
#include <atomic>

#include "cuda_stream.h"
#endif

namespace cm {
namespace {

bool is_plain_array(const Tensor& tensor) {
  return tensor.layout() == torch::kStrided && !has_tangent(tensor);
}

#ifdef CM_CUDA_KERNELS
bool found_kernels_for(const torch::Device& device) {
  const c10::cuda::CUDAGuard guard(device);
  return cuda::has_kernels();
}

// Asks once for each GPU.
bool has_kernels_for(const torch::Device& device) {
  enum class Answer : char { unknown, yes, no };
  constexpr size_t kMostDevices = 128;
  static std::array<std::atomic<Answer>, kMostDevices> answers{};
  const auto index = static_cast<size_t>(device.index());
  if (index >= answers.size()) return found_kernels_for(device);
  if (answers[index] == Answer::unknown) {
    answers[index] = found_kernels_for(device) ? Answer::yes : Answer::no;
  }
  return answers[index] == Answer::yes;
}
#else
bool has_kernels_for(const torch::Device& /*device*/) {
  return false;
}
#endif

}  // namespace

bool has_tangent(const Tensor& tensor) {
  return tensor._fw_grad(/*level=*/0).defined();
}

bool is_kernel_input(std::initializer_list<Tensor> tensors) {
  const auto fits = [](const Tensor& tensor) {
    return !tensor.defined() ||
           (tensor.is_cpu() && tensor.scalar_type() == torch::kFloat32 && is_plain_array(tensor));
  };
  return !at::autocast::is_autocast_enabled(torch::kCPU) && std::ranges::all_of(tensors, fits);
}

bool is_cuda_kernel_input(const Tensor& x, std::initializer_list<Tensor> others) {
  if (!x.is_cuda() || at::autocast::is_autocast_enabled(torch::kCUDA) || !is_plain_array(x)) return false;
  const auto type = x.scalar_type();
  if (type != torch::kFloat32 && type != torch::kFloat16 && type != torch::kBFloat16) return false;
  const auto fits = [&](const Tensor& tensor) {
    return !tensor.defined() || (tensor.device() == x.device() && tensor.scalar_type() == torch::kFloat32 &&
                                 is_plain_array(tensor));
  };
  return std::ranges::all_of(others, fits) && has_kernels_for(x.device());
}

}  // namespace cm
