// Dual tensors of forward-mode differentiation: a value and its tangent. PyTorch has one level of them.
//
// Its operators record a tangent's own graph beside the value's, and what they keep for the backward pass
// they keep as duals, so that every tangent of a network would live as long as its activations. Here the
// value is computed as if it had no tangent, and the tangent without a graph: whoever calls layers made of
// these functions differentiates the value backwards and takes the tangent as a number.
#pragma once

#include "cm/base/tensor.h"

namespace cm {

// False of an undefined tensor.
bool has_tangent(const Tensor& x);

// The same numbers at the same place in the graph, without the tangent; x itself where it has none.
Tensor value_of(const Tensor& x);

// Without a graph; undefined where x has none.
Tensor tangent_of(const Tensor& x);

// Zeros of its shape instead.
Tensor tangent_or_zeros(const Tensor& x);

// A value with its tangent, of the same shape.
Tensor dual(const Tensor& value, const Tensor& tangent);

// f(x), whose tangent is df(ẋ).
template <class F, class Df>
Tensor with_differential(const Tensor& x, const F& f, const Df& df) {
  if (!has_tangent(x)) return f(x);
  const Tensor tangent = no_grad([&] { return df(tangent_of(x)); });
  return dual(f(value_of(x)), tangent);
}

// f(x…) of operators that know their own differentials. While a graph is recorded f runs twice, for the value
// and for the tangent.
template <class F, class... X>
Tensor with_tangent_apart(const F& f, const X&... x) {
  if (!torch::GradMode::is_enabled() || !(has_tangent(x) || ...)) return f(x...);
  const Tensor tangent = no_grad([&] { return tangent_of(f(x...)); });
  return dual(f(value_of(x)...), tangent);
}

// f(x) of a linear f, which is its own differential.
template <class F>
Tensor linear_map(const Tensor& x, const F& f) {
  return with_differential(x, f, f);
}

// f(x, bias) of an f that is linear without its bias.
template <class F>
Tensor affine_map(const Tensor& x, const Tensor& bias, const F& f) {
  return with_differential(
      x, [&](const Tensor& value) { return f(value, bias); },
      [&](const Tensor& tangent) { return f(tangent, Tensor()); });
}

}  // namespace cm
