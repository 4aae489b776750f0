#include "cm/base/dual.h"

#include <torch/csrc/autograd/variable.h>

namespace cm {
namespace {

constexpr int64_t kLevel = 0;

}  // namespace

bool has_tangent(const Tensor& x) {
  return x.defined() && x._fw_grad(kLevel).defined();
}

// A view would do for the numbers, but it keeps what it is a view of, and that its tangent.
Tensor value_of(const Tensor& x) {
  if (!has_tangent(x)) return x;
  Tensor value = x.detach();
  if (x.requires_grad()) {
    torch::autograd::impl::set_gradient_edge(value, torch::autograd::impl::gradient_edge(x));
  }
  return value;
}

Tensor tangent_of(const Tensor& x) {
  return has_tangent(x) ? x._fw_grad(kLevel).detach() : Tensor();
}

Tensor tangent_or_zeros(const Tensor& x) {
  return has_tangent(x) ? tangent_of(x) : torch::zeros_like(x);
}

Tensor dual(const Tensor& value, const Tensor& tangent) {
  return at::_make_dual(value, tangent, kLevel);
}

}  // namespace cm
