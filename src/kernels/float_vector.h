// Vectors of 4, 8 or 16 floats (GCC's vector extensions, which Clang shares), and the exponential on them.
// Code over them is written once, as templates on the vector type that are always inlined, and compiled for
// each kind of processor by a function with that target.
#pragma once

#include <cstdint>
#include <cstring>

// Nothing here is called across translation units: all of it is inlined into one function, so that it does
// not matter how vectors would be passed.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace cm::vec {

using Floats4 [[gnu::vector_size(16)]] = float;
using Floats8 [[gnu::vector_size(32)]] = float;
using Floats16 [[gnu::vector_size(64)]] = float;

template <class V>
constexpr int64_t kLanes = sizeof(V) / sizeof(float);

template <class V>
[[gnu::always_inline]] inline V broadcast(float value) {
  return value - V{};
}

// All lanes.
template <class V>
[[gnu::always_inline]] inline V load(const float* p) {
  V v;
  std::memcpy(&v, p, sizeof(V));
  return v;
}

template <class V>
[[gnu::always_inline]] inline void store(float* p, const V& v) {
  std::memcpy(p, &v, sizeof(V));
}

// The first `count` lanes from memory, the others from `fill`.
template <class V>
[[gnu::always_inline]] inline V load(const float* p, int64_t count, const V& fill) {
  if (count == kLanes<V>) return load<V>(p);
  V v = fill;
  for (int64_t i = 0; i < count; ++i) v[i] = p[i];
  return v;
}

template <class V>
[[gnu::always_inline]] inline void store(float* p, int64_t count, const V& v) {
  if (count == kLanes<V>) return store(p, v);
  for (int64_t i = 0; i < count; ++i) p[i] = v[i];
}

// eˣ to 1 ulp for |x| ≤ 87; beyond, e⁸⁷ and e⁻⁸⁷. NaN stays NaN. x = n ln 2 + r with |r| ≤ ln 2 / 2, and eʳ =
// 1 + r + r² P(r) with the P of degree 4 that has the least largest relative error, 3e-9.
template <class V>
[[gnu::always_inline]] inline V exp(const V& any_x) {
  using Ints = decltype(any_x < V{});
  constexpr float kLimit = 87;
  constexpr float kRound = 12582912;  // 1.5 · 2²³: adding it leaves the nearest integer in the last bits
  constexpr int32_t kRoundBits = 0x4B400000;
  constexpr float kLn2High = 0.693359375F;  // few enough bits for n · kLn2High to be exact
  constexpr float kLn2Low = -2.12194440e-4F;
  V x = any_x > kLimit ? broadcast<V>(kLimit) : any_x;
  x = x < -kLimit ? broadcast<V>(-kLimit) : x;
  const V shifted = x * 1.44269504F + kRound;
  const V n = shifted - kRound;
  const V r = (x - n * kLn2High) - n * kLn2Low;
  V p = 0.0013814560370519757F * r + 0.008368735201656818F;
  p = p * r + 0.04166838899254799F;
  p = p * r + 0.1666652113199234F;
  p = p * r + 0.4999999403953552F;
  const V e_r = (r * r) * p + r + 1.0F;
  const Ints exponent = (reinterpret_cast<Ints>(shifted) - kRoundBits + 127) << 23;
  return e_r * reinterpret_cast<V>(exponent);
}

// 1 / (1 + e⁻ˣ).
template <class V>
[[gnu::always_inline]] inline V sigmoid(const V& x) {
  return 1.0F / (1.0F + exp(-x));
}

}  // namespace cm::vec
