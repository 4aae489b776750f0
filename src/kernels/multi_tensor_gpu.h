// The passes of cm/kernels/multi_tensor.h over tensors on a GPU for which the library has kernels: fp32,
// dense and laid out alike in every list.
#pragma once

#include "cm/kernels/multi_tensor.h"

namespace cm::multi_tensor_gpu {

Tensor norm_of(const std::vector<Tensor>& tensors);

void adam_update(const AdamState& state, const AdamRule& rule, const AdamNumbers& numbers);

void update_averages(const std::vector<MovingAverage>& averages, const std::vector<Tensor>& parameters,
                     const Tensor& usable);

}  // namespace cm::multi_tensor_gpu
