// What the group normalisation's passes do with one vector of numbers. A vector's lanes are channels or
// positions; its parameters are those of the lanes' channels.
#pragma once

#include "float_vector.h"

namespace cm::group_norm_cpu {

// Σ (x − shift) and Σ (x − shift)².
template <class V>
struct Moments {
  const float* x;
  V shift;
  V sum{};
  V product{};

  [[gnu::always_inline]] void operator()(int64_t place, int64_t count) {
    const V d = vec::load(x + place, count, shift) - shift;
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

  [[gnu::always_inline]] void operator()(int64_t place, int64_t count) const {
    const V h = (vec::load(x + place, count, V{}) - mean) * slope + offset;
    vec::store(y + place, count, silu ? h / (1.0F + vec::exp(-h)) : h);
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
  float* dh;
  V mean;
  V slope;
  V offset;
  V sum{};
  V product{};

  [[gnu::always_inline]] void operator()(int64_t place, int64_t count) {
    const V centred = vec::load(x + place, count, V{}) - mean;
    V d = vec::load(dy + place, count, V{});
    if constexpr (silu) {
      d *= silu_slope<V>(centred * slope + offset);
      vec::store(dh + place, count, d);
    }
    sum += d;
    product += d * centred;
  }
};

// dx = dh · slope − ((x − mean) · pull + push).
template <class V>
struct InputGradient {
  const float* x;
  const float* dh;
  float* dx;
  V mean;
  V slope;
  V pull;
  V push;

  [[gnu::always_inline]] void operator()(int64_t place, int64_t count) const {
    const V centred = vec::load(x + place, count, V{}) - mean;
    const V d = vec::load(dh + place, count, V{});
    vec::store(dx + place, count, d * slope - (centred * pull + push));
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

  [[gnu::always_inline]] void operator()(int64_t place, int64_t count) const {
    const V centred = vec::load(x + place, count, V{}) - mean;
    const V h_dot = vec::load(x_dot + place, count, V{}) * slope + (centred * pull + push);
    vec::store(y_dot + place, count, silu ? h_dot * silu_slope<V>(centred * slope + offset) : h_dot);
  }
};

}  // namespace cm::group_norm_cpu
