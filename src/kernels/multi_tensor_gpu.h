// The passes of cm/kernels/multi_tensor.h over tensors on a GPU for which the library has kernels: fp32,
// dense and laid out alike in every list.
#pragma once

#include "cm/kernels/multi_tensor.h"

namespace cm::multi_tensor_gpu {

// Whether the kernels can read a number of a step here: one element of this type on this device.
bool is_number(const Tensor& number, torch::Dtype type, const torch::Device& device);

Tensor norm_of(const std::vector<Tensor>& tensors);

void adam_update(const AdamState& state, const AdamRule& rule, const AdamNumbers& numbers);

void update_averages(const std::vector<MovingAverage>& averages, const std::vector<Tensor>& parameters,
                     const Tensor& usable);

}  // namespace cm::multi_tensor_gpu
