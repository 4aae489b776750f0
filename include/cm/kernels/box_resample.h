// Halving and doubling the side of images by the box filter, each the other's gradient: fp32 on the CPU, and
// on GPUs, where the library was built with nvcc, fp32 and half precision; what else there is goes to
// LibTorch's operators.
#pragma once

#include "cm/base/tensor.h"

namespace cm {

// y[…, 2i + a, 2j + b] = factor · x[…, i, j], a and b 0 or 1: x [B, C, H, W] → [B, C, 2H, 2W]; of factor 1
// the nearest neighbour. In x's layout; differentiable, also twice; x may be dual (cm/base/dual.h).
Tensor spread_2x2(const Tensor& x, double factor);

// y[…, i, j] = factor · Σ x[…, 2i + a, 2j + b]: x [B, C, H, W] → [B, C, ⌊H/2⌋, ⌊W/2⌋]; of factor 1/4 the
// mean. Likewise.
Tensor gather_2x2(const Tensor& x, double factor);

// The same by LibTorch's operators, whatever the device.
Tensor plain_spread_2x2(const Tensor& x, double factor);
Tensor plain_gather_2x2(const Tensor& x, double factor);

}  // namespace cm
