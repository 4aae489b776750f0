#include "kernel_input.h"

#include <ATen/autocast_mode.h>

#include <algorithm>

#include "cuda_call.h"

namespace cm {
namespace {

bool is_plain_array(const Tensor& tensor) {
  return tensor.layout() == torch::kStrided && !has_tangent(tensor);
}

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
  if (x.scalar_type() != torch::kFloat32 && !is_half(x.scalar_type())) return false;
  const auto fits = [&](const Tensor& tensor) {
    return !tensor.defined() || (tensor.device() == x.device() && tensor.scalar_type() == torch::kFloat32 &&
                                 is_plain_array(tensor));
  };
  return std::ranges::all_of(others, fits) && cuda::has_kernels_for(x.device());
}

}  // namespace cm
