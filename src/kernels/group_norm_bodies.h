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

// Σ dh and Σ dh (x − mean); dh is left where dx will be. SiLU's derivative is σ(h) (1 + h (1 − σ(h))).
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
      const V h = centred * slope + offset;
      const V s = vec::sigmoid(h);
      d *= s + s * h * (1.0F - s);
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

}  // namespace cm::group_norm_cpu
