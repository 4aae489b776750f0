// How far two tensors lie apart, as one number.
#pragma once

#include <limits>

#include "cm/base/tensor.h"

namespace cm::test {

inline double largest(const Tensor& x) {
  return x.abs().max().item<double>();
}

// max |a − b|; infinite when the shapes differ, NaN when a number is.
inline double largest_difference(const Tensor& a, const Tensor& b) {
  if (a.sizes() != b.sizes()) return std::numeric_limits<double>::infinity();
  return largest(a.detach().to(torch::kFloat64) - b.detach().to(torch::kFloat64));
}

// max |actual − expected| on the scale of the largest expected number.
inline double relative_difference(const Tensor& actual, const Tensor& expected) {
  const double difference = largest_difference(actual, expected);
  return difference == 0 ? 0 : difference / largest(expected);
}

// max |actual − expected| / |expected|, each number on its own scale; equal numbers count 0.
inline double elementwise_difference(const Tensor& actual, const Tensor& expected) {
  if (actual.sizes() != expected.sizes()) return std::numeric_limits<double>::infinity();
  const Tensor a = actual.detach().to(torch::kFloat64);
  const Tensor b = expected.detach().to(torch::kFloat64);
  return largest(torch::where(a == b, torch::zeros_like(a), (a - b) / b));
}

}  // namespace cm::test
