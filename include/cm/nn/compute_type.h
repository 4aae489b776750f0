// What the products of a network are computed in.
//
// Master weights, gradients, optimizer and averages are fp32 whatever it is. In bf16 and fp16 the trunk of a
// network, from its first layer to the last one but one, carries activations of that type and casts the
// weights of its convolutions (a transformer: of the linear layers that tokens meet) to it in every pass
// (Micikevicius et al. 2017, arXiv 1710.03740); embeddings, what is computed within a normalisation, the last
// normalisation and the last layer stay fp32, as in the official release.
#pragma once

#include "cm/base/fields.h"
#include "cm/base/tensor.h"

namespace cm {

enum class ComputeType {
  fp32,
  tf32,  // fp32, whose convolutions and matrix products round to 10 bits of mantissa on GPUs that can
  bf16,
  fp16,  // training scales the loss (cm/training/loss_scale.h)
};

// Of a trunk's activations.
torch::Dtype number_type(ComputeType type);

// Which fp32 products of this process may round to TF32 on a GPU: with tf32 all; in bf16 and fp16 those of
// convolutions (the network's last one, LPIPS's, a VAE's), as by PyTorch's defaults, under which the official
// release trained; in fp32 none.
void allow_tf32(ComputeType type);

// Whether a device is a GPU whose products of fp32 could round to TF32.
bool has_tf32(const torch::Device& device);

}  // namespace cm
