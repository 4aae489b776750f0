#include "cm/kernels/biased.h"

#include "cm/base/dual.h"

namespace cm {

Tensor sum_of(const Biased& x) {
  if (!x.bias.defined()) return x.image;
  std::vector<int64_t> shape(static_cast<size_t>(x.image.dim()), 1);
  shape[0] = x.bias.dim() == 2 ? x.image.size(0) : 1;
  shape[1] = x.image.size(1);
  return with_tangent_apart(
      [&](const Tensor& image, const Tensor& bias) {
        return image + bias.reshape(shape).to(image.scalar_type());
      },
      x.image, x.bias);
}

}  // namespace cm
