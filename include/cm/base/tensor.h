// LibTorch's tensor, and the few idioms that every module shares.
#pragma once

#include <torch/types.h>

namespace cm {

using torch::Tensor;

// [B] → [B, 1, 1, …] with the rank of `like`, so that one number a sample scales its whole sample.
inline Tensor per_sample(const Tensor& values, const Tensor& like) {
  std::vector<int64_t> shape(static_cast<size_t>(like.dim()), 1);
  shape[0] = values.size(0);
  return values.reshape(shape);
}

// Rows first … first + n − 1; of an undefined tensor (labels where there are none) itself.
inline Tensor rows_of(const Tensor& tensor, int64_t first, int64_t n) {
  return tensor.defined() ? tensor.narrow(0, first, n) : tensor;
}

// The result of `body`, computed without autograd state.
template <class Body>
auto no_grad(Body&& body) {
  const torch::NoGradGuard guard;
  return body();
}

}  // namespace cm
