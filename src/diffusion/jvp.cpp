#include "cm/diffusion/jvp.h"

#include <ATen/Context.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/forward_grad.h>

namespace cm {
namespace {

// Forward-mode derivatives live on a level, which ends with them.
class DualLevel {
 public:
  DualLevel() : index_(torch::autograd::ForwardADLevel::get_next_idx()) {}
  ~DualLevel() { torch::autograd::ForwardADLevel::release_idx(index_); }
  DualLevel(const DualLevel&) = delete;
  DualLevel& operator=(const DualLevel&) = delete;

  Tensor dual(const Tensor& value, const Tensor& tangent) const {
    return at::_make_dual(value.detach(), tangent.detach(), static_cast<int64_t>(index_));
  }
  Jvp unpack(const Tensor& dual) const {
    auto [value, tangent] = at::_unpack_dual(dual, static_cast<int64_t>(index_));
    return {value.detach(), tangent.defined() ? tangent.detach() : torch::zeros_like(value)};
  }

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
  const torch::NoGradGuard no_graph;
  const PlainAttention plain;
  const DualLevel level;
  return level.unpack(f(level.dual(x, direction.x_dot), level.dual(sigma, direction.sigma_dot)));
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
