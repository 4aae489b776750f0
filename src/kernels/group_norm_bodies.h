// What the group normalisation's passes do with one vector of numbers. A vector's lanes are channels or
// positions; its parameters are those of the lanes' channels. x, ẋ and dx lie in arrays of the span's own,
// all else in those of the whole image.
#pragma once

#include "float_vector.h"
#include "group_norm_walk.h"

namespace cm::group_norm_cpu {

// Σ (x − shift) and Σ (x − shift)².
template <class V>
struct Moments {
  const float* x;
  V shift;
  V sum{};
  V product{};

  [[gnu::always_inline]] void operator()(const Place& place, int64_t count) {
    const V d = vec::load(x + place.own, count, shift) - shift;
    sum += d;
    product += d * d;
  }
};

// y = act((x − mean) · slope + offset).
template <class V, bool silu>
struct Output {
  const float* x;
  float* y;
  V mean;
  V slope;
  V offset;

  [[gnu::always_inline]] void operator()(const Place& place, int64_t count) const {
    const V h = (vec::load(x + place.own, count, V{}) - mean) * slope + offset;
    vec::store(y + place.whole, count, silu ? h / (1.0F + vec::exp(-h)) : h);
  }
};

// SiLU's derivative, σ(h) (1 + h (1 − σ(h))).
template <class V>
[[gnu::always_inline]] inline V silu_slope(const V& h) {
  const V s = vec::sigmoid(h);
  return s + s * h * (1.0F - s);
}

// Σ dh and Σ dh (x − mean); dh is left where dx will be.
template <class V, bool silu>
struct GradientSums {
  const float* x;
  const float* dy;
  float* dx;
  V mean;
  V slope;
  V offset;
  V sum{};
  V product{};

  [[gnu::always_inline]] void operator()(const Place& place, int64_t count) {
    const V centred = vec::load(x + place.own, count, V{}) - mean;
    V d = vec::load(dy + place.whole, count, V{});
    if constexpr (silu) {
      d *= silu_slope<V>(centred * slope + offset);
      vec::store(dx + place.own, count, d);
    }
    sum += d;
    product += d * centred;
  }
};

// dx = dh · slope − ((x − mean) · pull + push); dh is where GradientSums left it.
template <class V, bool silu>
struct InputGradient {
  const float* x;
  const float* dy;
  float* dx;
  V mean;
  V slope;
  V pull;
  V push;

  [[gnu::always_inline]] void operator()(const Place& place, int64_t count) const {
    const V centred = vec::load(x + place.own, count, V{}) - mean;
    const V d = vec::load(silu ? dx + place.own : dy + place.whole, count, V{});
    vec::store(dx + place.own, count, d * slope - (centred * pull + push));
  }
};

// Σ ẋ and Σ ẋ (x − mean).
template <class V>
struct TangentSums {
  const float* x;
  const float* x_dot;
  V mean;
  V sum{};
  V product{};

  [[gnu::always_inline]] void operator()(const Place& place, int64_t count) {
    const V d = vec::load(x_dot + place.own, count, V{});
    sum += d;
    product += d * (vec::load(x + place.own, count, V{}) - mean);
  }
};

// ẏ = act'(h) ḣ, ḣ = ẋ · slope + (x − mean) · pull + push.
template <class V, bool silu>
struct TangentOutput {
  const float* x;
  const float* x_dot;
  float* y_dot;
  V mean;
  V slope;
  V offset;
  V pull;
  V push;

  [[gnu::always_inline]] void operator()(const Place& place, int64_t count) const {
    const V centred = vec::load(x + place.own, count, V{}) - mean;
    const V h_dot = vec::load(x_dot + place.own, count, V{}) * slope + (centred * pull + push);
    vec::store(y_dot + place.whole, count, silu ? h_dot * silu_slope<V>(centred * slope + offset) : h_dot);
  }
};

}  // namespace cm::group_norm_cpu
