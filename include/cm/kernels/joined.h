// An image, or two that are read as one, side by side along their channels. What meets a skip connection
// reads both where they lie and needs no copy: a normalisation (cm/kernels/group_norm.h), a 1×1 convolution
// (cm/kernels/convolution.h).
#pragma once

#include "cm/base/tensor.h"

namespace cm {

struct Joined {
  Joined(Tensor image, Tensor more = {})  // NOLINT: an image is one without more
      : first(std::move(image)), second(std::move(more)) {}

  int64_t channels() const { return first.size(1) + (second.defined() ? second.size(1) : 0); }

  Tensor first;   // [B, C, …]
  Tensor second;  // [B, C′, …] in the same type; undefined: none
};

// f of each image.
template <class F>
Joined each_of(const Joined& x, const F& f) {
  return {f(x.first), x.second.defined() ? f(x.second) : x.second};
}

// Of either (cm/base/dual.h).
bool has_tangent(const Joined& x);

// One image of both by LibTorch's operators, [B, C + C′, …]; either may be dual.
Tensor whole(const Joined& x);

}  // namespace cm
