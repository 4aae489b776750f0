// The output channels of `qkv` layers: (head, channel, q|k|v) in EDM's and EDM2's weights, (q|k|v, head,
// channel) in ours.
#pragma once

#include "cm/io/safetensors.h"

namespace cm::test {

inline bool is_qkv(const std::string& name) {
  return name.find("qkv.") != std::string::npos;
}

// `heads_of` tells the heads of a layer of so many channels.
template <class HeadsOf>
NamedTensors from_edm_order(NamedTensors tensors, const HeadsOf& heads_of) {
  for (auto& [name, tensor] : tensors) {
    if (!is_qkv(name)) continue;
    tensor = tensor.reshape({heads_of(tensor.size(0) / 3), -1, 3, tensor.numel() / tensor.size(0)})
                 .permute({2, 0, 1, 3})
                 .reshape(tensor.sizes());
  }
  return tensors;
}

template <class HeadsOf>
NamedTensors to_edm_order(NamedTensors tensors, const HeadsOf& heads_of) {
  for (auto& [name, tensor] : tensors) {
    if (!is_qkv(name)) continue;
    tensor = tensor.reshape({3, heads_of(tensor.size(0) / 3), -1, tensor.numel() / tensor.size(0)})
                 .permute({1, 2, 0, 3})
                 .reshape(tensor.sizes());
  }
  return tensors;
}

}  // namespace cm::test
