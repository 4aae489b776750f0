#include "cm/diffusion/distance.h"

#include <cmath>

namespace cm {
namespace {

Tensor resized_to_32(const Tensor& x) {
  return at::upsample_bilinear2d(x, at::IntArrayRef{32, 32}, /*align_corners=*/false);
}

}  // namespace

Tensor distance(Distance kind, const Tensor& a, const Tensor& b, double huber_c) {
  switch (kind) {
    case Distance::l1:
      return (a - b).abs().flatten(1).mean(1);
    case Distance::l2:
      return (a - b).square().flatten(1).mean(1);
    case Distance::linf:
      return (a - b).abs().flatten(1).amax(1);
    case Distance::l2_32:
      return (resized_to_32(a) - resized_to_32(b)).square().flatten(1).mean(1);
    case Distance::pseudo_huber: {
      const Tensor difference = (a - b).flatten(1);
      const double c = huber_c * std::sqrt(static_cast<double>(difference.size(1)));
      return (difference.square().sum(1) + c * c).sqrt() - c;
    }
    case Distance::lpips:
      TORCH_INTERNAL_ASSERT(false, "lpips is a network, not a formula: make_distance binds it");
  }
  TORCH_INTERNAL_ASSERT(false, "not a distance");
}

}  // namespace cm
