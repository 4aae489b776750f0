// The output channels of `qkv` layers: (head, channel, q|k|v) in EDM's and EDM2's weights, (q|k|v, head,
// channel) in ours.
#pragma once

#include "cm/io/safetensors.h"

namespace cm::test {

inline bool is_qkv(const std::string& name) {
  return name.find("qkv.") != std::string::npos;
}

inline NamedTensors from_edm_order(NamedTensors tensors) {
  for (auto& [name, tensor] : tensors) {
    if (is_qkv(name)) tensor = tensor.unflatten(0, {-1, 3}).transpose(0, 1).flatten(0, 1);
  }
  return tensors;
}

inline NamedTensors to_edm_order(NamedTensors tensors) {
  for (auto& [name, tensor] : tensors) {
    if (is_qkv(name)) tensor = tensor.unflatten(0, {3, -1}).transpose(0, 1).flatten(0, 1);
  }
  return tensors;
}

}  // namespace cm::test
