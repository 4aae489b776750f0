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
  lpips,         // perceptual, by a network (cm/nn/lpips.h): no formula of a and b alone
};
template <>
inline constexpr std::string_view kNameOf<Distance::l2_32> = "l2-32";

inline constexpr double kHuberC = 0.00054;

// [B, …], [B, …] → [B], differentiable in both. Means are over everything but the batch, as in the release.
// l2-32 needs [B, C, H, W]. `huber_c` is pseudo-Huber's c divided by √D, D the numbers in one sample. Every
// kind but lpips, whose network is bound above this module (make_distance, cm/training/distance_function.h).
Tensor distance(Distance kind, const Tensor& a, const Tensor& b, double huber_c = kHuberC);

}  // namespace cm
