// The end of a residual block,
//
//   y = (kept + image + bias) · factor
//
// as one pass: fp32 on the CPU, and on GPUs, where the library was built with nvcc, fp32 and half precision;
// what else there is goes to LibTorch's operators. Where the image is a 3×3 convolution's, the convolution
// itself may do it (cm/kernels/convolution.h).
#pragma once

#include "cm/kernels/biased.h"

namespace cm {

// kept and the branch's image [B, C, …], its bias [C], where it has one, in fp32 whatever the images are. y
// has the image's layout. Differentiable, also twice; kept and the image may be dual (cm/base/dual.h). Throws
// c10::Error when a shape does not fit.
Tensor residual_sum(const Tensor& kept, const Biased& branch, double factor);

// The same by LibTorch's operators, whatever the device.
Tensor plain_residual_sum(const Tensor& kept, const Biased& branch, double factor);

}  // namespace cm
