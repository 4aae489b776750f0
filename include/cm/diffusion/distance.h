// The distance d(a, b) between two images in a consistency loss (CM §4; iCT §3.2).
#pragma once

#include "cm/base/fields.h"
#include "cm/base/tensor.h"

namespace cm {

enum class Distance {
  l1,            // mean |a − b|
  l2,            // mean (a − b)²
  linf,          // max |a − b|
  l2_32,         // l2 after a bilinear resize of both to 32 × 32
  pseudo_huber,  // √(‖a − b‖² + c²) − c, ‖·‖² the sum, c = 0.00054 √D (iCT Eq. 7)
};
template <>
struct EnumNames<Distance> {
  static constexpr std::array names = {EnumName{Distance::l1, "l1"}, EnumName{Distance::l2, "l2"},
                                       EnumName{Distance::linf, "linf"}, EnumName{Distance::l2_32, "l2-32"},
                                       EnumName{Distance::pseudo_huber, "pseudo_huber"}};
};

// [B, …], [B, …] → [B], differentiable in both. Means are over everything but the batch, as in the release.
// l2-32 needs [B, C, H, W]. `huber_c` is pseudo-Huber's c divided by √D, D the numbers in one sample.
Tensor distance(Distance kind, const Tensor& a, const Tensor& b, double huber_c = 0.00054);

}  // namespace cm
