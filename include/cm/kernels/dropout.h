// Dropout whose mask is a function of counters (cm/base/random.h), not of a generator's state: the same on
// every device, and computed again where it is needed, never kept.
#pragma once

#include "cm/base/tensor.h"
#include "cm/kernels/paths.h"

namespace cm {

// x [B, C, …] with each element zeroed with probability `rate`, the others times 1/(1 − rate). What is zeroed
// of sample i depends on keys[i], the layer's number and the element's place in the sample alone. keys int64
// [B] on x's device; rate in [0, 1), to 2⁻²⁴. x itself at rate 0, and without keys, which is evaluation.
// Linear: its gradient and its tangent are the same function. In one pass over memory for fp32 on the CPU,
// for fp32, fp16 and bf16 on a GPU where the library was built with nvcc; otherwise by LibTorch's operators.
Tensor dropout(const Tensor& x, const Tensor& keys, double rate, int64_t layer);

// The same in LibTorch's operators.
Tensor plain_dropout(const Tensor& x, const Tensor& keys, double rate, int64_t layer);

}  // namespace cm
