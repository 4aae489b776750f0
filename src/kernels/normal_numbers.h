// Box–Muller (Box & Muller 1958) in fp32: two unit normals √(−2 ln u) (cos 2πv, sin 2πv) of two words.
//
// Written in operations that IEEE 754 rounds in one way, so that all devices have the same numbers to the bit
// where no multiplication is fused with an addition (-ffp-contract=off, -fmad=false), and without branches,
// so that a loop becomes vector instructions. At most 4 ulp from the formula's exact value.
#pragma once

#include <cmath>
#include <cstring>
#include <numbers>

#include "cm/base/philox.h"

#define CM_INLINED [[gnu::always_inline]] CM_ON_ANY_DEVICE inline

namespace cm {

CM_INLINED float float_of_bits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

CM_INLINED uint32_t bits_of_float(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}

// ln u of a normal u > 0: e ln 2 + ln(1 + x) with u = 2ᵉ (1 + x), √½ ≤ 1 + x < √2, by Cephes' polynomial
// (logf.c).
CM_INLINED float log_of(float u) {
  constexpr uint32_t kRootHalf = 0x3f3504f3;
  const auto exponent = static_cast<int32_t>(bits_of_float(u) - kRootHalf) >> 23;
  const float x = float_of_bits(bits_of_float(u) - (static_cast<uint32_t>(exponent) << 23)) - 1.0F;
  const auto e = static_cast<float>(exponent);
  const float square = x * x;
  float p = 7.0376836292e-2F;
  p = p * x - 1.1514610310e-1F;
  p = p * x + 1.1676998740e-1F;
  p = p * x - 1.2420140846e-1F;
  p = p * x + 1.4249322787e-1F;
  p = p * x - 1.6668057665e-1F;
  p = p * x + 2.0000714765e-1F;
  p = p * x - 2.4999993993e-1F;
  p = p * x + 3.3333331174e-1F;
  p = p * x * square;
  p = p - 2.12194440e-4F * e;  // ln 2 in two parts, of which the other times e is exact
  p = p - 0.5F * square;
  return (x + p) + 0.693359375F * e;
}

struct Turned {
  float cosine;
  float sine;
};

// cos and sin of 2π k / 2²⁴, 0 ≤ k < 2²⁴: the nearest quarter turn, exact, and the rest, at most π/4, by
// Cephes' polynomials (sinf.c).
CM_INLINED Turned turned_by(uint32_t k) {
  constexpr auto kUnit = static_cast<float>(2 * std::numbers::pi * 0x1p-24);
  const uint32_t quarters = (k + (1U << 21)) >> 22;
  const float t = static_cast<float>(static_cast<int32_t>(k - (quarters << 22))) * kUnit;
  const float square = t * t;
  float sine = -1.9515295891e-4F;
  sine = sine * square + 8.3321608736e-3F;
  sine = sine * square - 1.6666654611e-1F;
  sine = sine * square * t + t;
  float cosine = 2.443315711809948e-5F;
  cosine = cosine * square - 1.388731625493765e-3F;
  cosine = cosine * square + 4.166664568298827e-2F;
  cosine = cosine * square * square - 0.5F * square + 1.0F;
  const bool odd = (quarters & 1) != 0;
  const uint32_t negative_cosine = ((quarters + 1) & 2) << 30;
  const uint32_t negative_sine = (quarters & 2) << 30;
  return {float_of_bits(bits_of_float(odd ? sine : cosine) ^ negative_cosine),
          float_of_bits(bits_of_float(odd ? cosine : sine) ^ negative_sine)};
}

// u in (0, 1] keeps the logarithm finite.
CM_INLINED void box_muller(uint32_t a, uint32_t b, float& first, float& second) {
  const float u = (static_cast<float>(static_cast<int32_t>(a >> 8)) + 1.0F) * 0x1p-24F;
  const float radius = sqrtf(-2.0F * log_of(u));
  const Turned direction = turned_by(b >> 8);
  first = radius * direction.cosine;
  second = radius * direction.sine;
}

}  // namespace cm
