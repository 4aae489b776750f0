// An image and the bias that is yet to be added to it. A convolution's bias needs no pass of its own where
// what reads the image next adds it: a normalisation (cm/kernels/group_norm.h) or the sum at the end of a
// residual block (cm/kernels/residual_sum.h).
#pragma once

#include "cm/base/tensor.h"

namespace cm {

struct Biased {
  Biased(Tensor any_image, Tensor any_bias = {})  // NOLINT: an image is one without a bias
      : image(std::move(any_image)), bias(std::move(any_bias)) {}

  Tensor image;  // [B, C, …]
  Tensor bias;   // [C], or [B, C]; undefined: none
};

// image + bias by LibTorch's operators, in the image's type; either may be dual (cm/base/dual.h).
Tensor sum_of(const Biased& x);

}  // namespace cm
