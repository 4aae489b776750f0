// How far two tensors lie apart, as one number; they may be on different devices.
#pragma once

#include <limits>

#include "cm/base/tensor.h"

namespace cm::test {

inline double largest(const Tensor& x) {
  return x.abs().max().item<double>();
}

inline Tensor as_host_doubles(const Tensor& x) {
  return x.detach().to(torch::kCPU, torch::kFloat64);
}

// max |a − b|; infinite when the shapes differ, NaN when a number is.
inline double largest_difference(const Tensor& a, const Tensor& b) {
  if (a.sizes() != b.sizes()) return std::numeric_limits<double>::infinity();
  return largest(as_host_doubles(a) - as_host_doubles(b));
}

// max |actual − expected| on the scale of the largest expected number.
inline double relative_difference(const Tensor& actual, const Tensor& expected) {
  const double difference = largest_difference(actual, expected);
  return difference == 0 ? 0 : difference / largest(expected);
}

// max |actual − expected| / |expected|, each number on its own scale; equal numbers count 0.
inline double elementwise_difference(const Tensor& actual, const Tensor& expected) {
  if (actual.sizes() != expected.sizes()) return std::numeric_limits<double>::infinity();
  const Tensor a = as_host_doubles(actual);
  const Tensor b = as_host_doubles(expected);
  return largest(torch::where(a == b, torch::zeros_like(a), (a - b) / b));
}

}  // namespace cm::test
