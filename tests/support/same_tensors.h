// Whether two sets of named tensors are the same, to the last bit.
#pragma once

#include <cstring>
#include <map>
#include <string>

#include "cm/base/tensor.h"

namespace cm::test {

inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.scalar_type() != b.scalar_type() || a.sizes() != b.sizes()) return false;
  return a.nbytes() == 0 ||
         std::memcmp(a.contiguous().data_ptr(), b.contiguous().data_ptr(), a.nbytes()) == 0;
}

inline bool same_tensors(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    const auto found = b.find(name);
    if (found == b.end() || !same_bits(tensor, found->second)) return false;
  }
  return true;
}

}  // namespace cm::test
