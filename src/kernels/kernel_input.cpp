#include "kernel_input.h"

#include <ATen/autocast_mode.h>

#include <algorithm>

namespace cm {

bool has_tangent(const Tensor& tensor) {
  return tensor._fw_grad(/*level=*/0).defined();
}

bool is_kernel_input(std::initializer_list<Tensor> tensors) {
  const auto fits = [](const Tensor& tensor) {
    return !tensor.defined() || (tensor.is_cpu() && tensor.scalar_type() == torch::kFloat32 &&
                                 tensor.layout() == torch::kStrided && !has_tangent(tensor));
  };
  return !at::autocast::is_autocast_enabled(torch::kCPU) && std::ranges::all_of(tensors, fits);
}

}  // namespace cm
