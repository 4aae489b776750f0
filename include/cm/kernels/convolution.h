// Convolutions.
//
// Those of 3×3 on the CPU, in fp32, by Winograd's minimal filtering F(2×2, 3×3) (Lavin & Gray 2015, arXiv
// 1509.09308): 16 multiplications where the direct form has 36, forward and backward. Everything else goes to
// LibTorch.
#pragma once

#include "cm/base/tensor.h"
#include "cm/kernels/joined.h"
#include "cm/kernels/paths.h"

namespace cm {

// x [B, in, H, W], weight [out, in, 3, 3], bias [out] or undefined → [B, out, H, W], stride 1, padding 1;
// differentiable, also twice; of a dual x (cm/base/dual.h) the tangent is a convolution like the value's.
// What Winograd's form computes comes channels-last, whatever x is, for so it reads images; it is the same
// for any batch and number of threads, and the direct form's to rounding.
Tensor convolution_3x3(const Tensor& x, const Tensor& weight, const Tensor& bias);

// (kept + convolution_3x3(x, weight, bias)) · factor, the end of a residual block, kept [B, out, H, W] and
// the bias in fp32 whatever the images are: in the pass that writes Winograd's form, otherwise by
// residual_sum.
Tensor residual_convolution_3x3(const Tensor& kept, const Tensor& x, const Tensor& weight, const Tensor& bias,
                                double factor);

// x [B, in, H, W], in one or two images, weight [out, in, 1, 1], bias [out] or undefined → [B, out, H, W],
// differentiable, of a dual x too: by LibTorch's convolution or, where that is faster, as a product of the
// matrix of a channels-last image's pixels, to which the bias is added as it is written. Of two images there
// are two, the second of which is added to the first.
Tensor convolution_1x1(const Joined& x, const Tensor& weight, const Tensor& bias);

// x [B, C, H, W] in the layout that the convolutions of a network on it prefer: channels-last where
// Winograd's form serves most of them and on a GPU in half precision and where fp32 may round to TF32,
// otherwise as it is.
Tensor in_convolution_layout(const Tensor& x);

// A convolution's weight [out, in, k, k] as images of `type` meet it, in that type and their layout. One pass
// casts it and one brings its gradient back to the weight's own type and layout. Itself in its own type.
Tensor weight_in(torch::Dtype type, const Tensor& weight);

// Why Winograd's form does not serve, if so. It serves fp32 on a CPU with AVX2, channels in sixteens, even H
// and W, neither autocast nor a weight, a bias or something kept with a tangent.
std::optional<Obstacle> obstacle_to_winograd(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                             const Tensor& kept = {});

}  // namespace cm
