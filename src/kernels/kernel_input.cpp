#include "kernel_input.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>

#include "cm/base/dual.h"
#include "cuda_call.h"

namespace cm {

bool is_channels_last(const Tensor& x) {
  return !x.is_contiguous() && x.is_contiguous(at::MemoryFormat::ChannelsLast);
}

std::optional<Obstacle> obstacle_to_kernel(const Tensor& x, std::initializer_list<Tensor> others) {
  const torch::Device device = x.device();
  if (!device.is_cpu() && !cuda::has_kernels_for(device)) return Obstacle::device;
  if (at::autocast::is_autocast_enabled(device.type())) return Obstacle::autocast;
  const bool half = device.is_cuda() && is_half(x.scalar_type());
  if (x.scalar_type() != torch::kFloat32 && !half) return Obstacle::type;
  if (x.layout() != torch::kStrided) return Obstacle::layout;
  for (const Tensor& other : others) {
    if (!other.defined()) continue;
    if (other.device() != device) return Obstacle::device;
    if (other.scalar_type() != torch::kFloat32) return Obstacle::type;
    if (other.layout() != torch::kStrided) return Obstacle::layout;
    if (has_tangent(other)) return Obstacle::tangent;
  }
  return std::nullopt;
}

std::optional<Obstacle> obstacle_to_gradient() {
  return at::GradMode::is_enabled() ? std::optional(Obstacle::twice) : std::nullopt;
}

}  // namespace cm
