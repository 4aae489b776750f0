// 3×3 convolution.
//
// On the CPU, in fp32, by Winograd's minimal filtering F(2×2, 3×3) (Lavin & Gray 2015, arXiv 1509.09308): 16
// multiplications where the direct form has 36, forward and backward. Everything else goes to LibTorch.
#pragma once

#include "cm/base/tensor.h"
#include "cm/kernels/paths.h"

namespace cm {

// x [B, in, H, W], weight [out, in, 3, 3], bias [out] or undefined → [B, out, H, W], stride 1, padding 1;
// differentiable, also twice; of a dual x (cm/base/dual.h) the tangent is a convolution like the value's.
// What Winograd's form computes comes channels-last, whatever x is, for so it reads images; it is the same
// for any batch and number of threads, and the direct form's to rounding.
Tensor convolution_3x3(const Tensor& x, const Tensor& weight, const Tensor& bias);

// x [B, C, H, W], or a weight, in the layout that the convolutions of a network on it prefer: channels-last
// where Winograd's form serves most of them and in half precision on a GPU, otherwise as it is.
Tensor in_convolution_layout(const Tensor& x);

// Why Winograd's form does not serve, if so. It serves fp32 on a CPU with AVX2, channels in sixteens, even H
// and W, neither autocast nor a weight or bias with a tangent.
std::optional<Obstacle> obstacle_to_winograd(const Tensor& x, const Tensor& weight, const Tensor& bias);

}  // namespace cm
