#include "cm/diffusion/jvp.h"

#include <ATen/Context.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/forward_grad.h>

#include "cm/base/dual.h"

namespace cm {
namespace {

// Forward-mode derivatives live on a level, which ends with them.
class DualLevel {
 public:
  DualLevel() : index_(torch::autograd::ForwardADLevel::get_next_idx()) {}
  ~DualLevel() { torch::autograd::ForwardADLevel::release_idx(index_); }
  DualLevel(const DualLevel&) = delete;
  DualLevel& operator=(const DualLevel&) = delete;

 private:
  uint64_t index_;
};

}  // namespace

PlainAttention::PlainAttention()
    : flash_(at::globalContext().userEnabledFlashSDP()),
      memory_efficient_(at::globalContext().userEnabledMemEfficientSDP()),
      cudnn_(at::globalContext().userEnabledCuDNNSDP()) {
  at::globalContext().setSDPUseFlash(false);
  at::globalContext().setSDPUseMemEfficient(false);
  at::globalContext().setSDPUseCuDNN(false);
}

PlainAttention::~PlainAttention() {
  at::globalContext().setSDPUseFlash(flash_);
  at::globalContext().setSDPUseMemEfficient(memory_efficient_);
  at::globalContext().setSDPUseCuDNN(cudnn_);
}

Jvp jvp(const Denoiser& f, const Tensor& x, const Tensor& sigma, const Direction& direction) {
  const auto [value, tangent] = no_grad([&] { return jvp_with_graph(f, x, sigma, direction); });
  return {value.detach(), tangent};
}

Jvp jvp_with_graph(const Denoiser& f, const Tensor& x, const Tensor& sigma, const Direction& direction) {
  const DualLevel level;
  const auto moving = [](const Tensor& at, const Tensor& dot) { return dual(at.detach(), dot.detach()); };
  const Tensor y = f(moving(x, direction.x_dot), moving(sigma, direction.sigma_dot));
  const Tensor value = value_of(y);
  return {value, tangent_or_zeros(y)};
}

Jvp differentiable_jvp(const Denoiser& f, const Tensor& x, const Tensor& sigma, const Direction& direction) {
  const PlainAttention plain;
  const Tensor x_leaf = x.detach().requires_grad_(true);
  const Tensor sigma_leaf = sigma.detach().requires_grad_(true);
  const Tensor value = f(x_leaf, sigma_leaf);
  const Tensor v = torch::zeros_like(value).requires_grad_(true);
  // Undefined for an input that f does not depend on.
  const auto transposed = torch::autograd::grad({value}, {x_leaf, sigma_leaf}, {v}, /*retain_graph=*/true,
                                                /*create_graph=*/true, /*allow_unused=*/true);
  Tensor product = torch::zeros({}, value.options());
  if (transposed[0].defined()) product = product + (transposed[0] * direction.x_dot).sum();
  if (transposed[1].defined()) product = product + (transposed[1] * direction.sigma_dot).sum();
  const Tensor tangent =
      torch::autograd::grad({product}, {v}, {}, /*retain_graph=*/true, /*create_graph=*/true)[0];
  return {value, tangent};
}

}  // namespace cm
