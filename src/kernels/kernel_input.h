// What the kernels for the CPU take; everything else goes to LibTorch's operators.
#pragma once

#include "cm/base/tensor.h"

namespace cm {

// Whether forward-mode differentiation, of which PyTorch has one level, passes through it.
bool has_tangent(const Tensor& tensor);

// Whether a kernel takes all of these: fp32 on the CPU, strided, without tangents, and no autocast. An
// undefined tensor has no say.
bool is_kernel_input(std::initializer_list<Tensor> tensors);

}  // namespace cm
