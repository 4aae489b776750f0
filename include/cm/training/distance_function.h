// The distance of a consistency loss by its name: a formula (cm/diffusion/distance.h), or LPIPS, which is a
// network.
#pragma once

#include <memory>

#include "cm/diffusion/distance.h"
#include "cm/nn/lpips.h"
#include "cm/training/losses.h"

namespace cm {

struct DistanceChoice {
  Distance kind = Distance::l2;
  double huber_c = kHuberC;  // of pseudo-Huber, as in distance()
};

// d(a, b) of images [B, C, H, W] in [−1, 1] → [B], differentiable in both. `lpips` must be there where the
// choice is Distance::lpips, which compares colour images by it, resized by its rule (lpips_sized).
DistanceFunction make_distance(const DistanceChoice& choice, std::shared_ptr<const Lpips> lpips = nullptr);

}  // namespace cm
