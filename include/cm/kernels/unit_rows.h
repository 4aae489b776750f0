// Rows of numbers scaled to one length: what keeps magnitudes in EDM2's networks, of weights and of
// activations.
#pragma once

#include "cm/base/tensor.h"
#include "cm/kernels/paths.h"

namespace cm {

struct RowScale {
  double length;   // of a scaled row
  double epsilon;  // added to its length before
};

// x [rows, …], row by row x · length · gain/(‖x‖ + epsilon), in x's type and at least in fp32; `gain` is one
// learned number, fp32, or undefined. Differentiable, also twice; a tangent of x is computed by operators
// (cm/base/dual.h). In one pass over memory for contiguous numbers, fp32 on the CPU, fp32, fp16 or bf16 on a
// GPU where the library was built with nvcc; otherwise by LibTorch's operators.
Tensor unit_rows(const Tensor& x, const RowScale& scale, const Tensor& gain = {});

// The same in LibTorch's operators.
Tensor plain_unit_rows(const Tensor& x, const RowScale& scale, const Tensor& gain = {});

// x ← unit_rows(x, scale), without a gradient.
void scale_rows(const Tensor& x, const RowScale& scale);

}  // namespace cm
