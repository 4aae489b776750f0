#include "cm/kernels/joined.h"

#include "cm/base/dual.h"

namespace cm {

bool has_tangent(const Joined& x) {
  return has_tangent(x.first) || has_tangent(x.second);
}

Tensor whole(const Joined& x) {
  if (!x.second.defined()) return x.first;
  return with_tangent_apart(
      [](const Tensor& first, const Tensor& second) {
        return torch::cat({first, second}, 1);
      },
      x.first, x.second);
}

}  // namespace cm
