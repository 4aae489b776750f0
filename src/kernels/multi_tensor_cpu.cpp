#include "multi_tensor_cpu.h"

#include <algorithm>
#include <cmath>

#include "processor.h"

namespace cm::multi_tensor_cpu {
namespace {

// In interleaved sums, so that vectors can be added.
template <class T>
[[gnu::always_inline]] inline double sum_of_squares(const T* x, int64_t count) {
  constexpr int64_t kSums = 16;
  double sums[kSums] = {};
  const int64_t whole = count / kSums * kSums;
  for (int64_t i = 0; i < whole; i += kSums) {
    for (int64_t k = 0; k < kSums; ++k) {
      const auto value = static_cast<double>(x[i + k]);
      sums[k] += value * value;
    }
  }
  for (int64_t i = whole; i < count; ++i) {
    const auto value = static_cast<double>(x[i]);
    sums[i - whole] += value * value;
  }
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

template <bool adaptive, class T>
[[gnu::always_inline]] inline void adam_rule(const AdamArrays<T>& arrays, int64_t count,
                                             const AdamUpdate& update) {
  T* __restrict__ const theta = arrays.theta;
  const T* __restrict__ const gradient = arrays.gradient;
  T* __restrict__ const first = arrays.first;
  T* __restrict__ const second = arrays.second;
  const auto rest1 = static_cast<T>(1 - update.beta1);
  const auto beta2 = static_cast<T>(update.beta2);
  const auto rest2 = static_cast<T>(1 - update.beta2);
  const auto step = static_cast<T>(update.step);
  const auto inverse_root = static_cast<T>(1 / update.root);
  const auto eps = static_cast<T>(update.eps);
  const auto factor = static_cast<T>(update.factor);
  const auto added_decay = static_cast<T>(update.added_decay);
  const auto shrink = static_cast<T>(update.shrink);
  for (int64_t i = 0; i < count; ++i) {
    const T g = factor * gradient[i] + added_decay * theta[i];
    const T m = first[i] + rest1 * (g - first[i]);
    const T v = beta2 * second[i] + rest2 * g * g;
    const T change = adaptive ? m / (std::sqrt(v) * inverse_root + eps) : m;
    first[i] = m;
    second[i] = v;
    theta[i] = shrink * theta[i] - step * change;
  }
}

template <class T>
[[gnu::always_inline]] inline void adam(const AdamArrays<T>& arrays, int64_t count,
                                        const AdamUpdate& update) {
  if (update.adaptive) {
    adam_rule<true>(arrays, count, update);
  } else {
    adam_rule<false>(arrays, count, update);
  }
}

// From the nearer end, as torch::lerp, so that the error is one of the difference.
template <class T>
[[gnu::always_inline]] inline void average(T* __restrict__ average, const T* __restrict__ theta,
                                           int64_t count, double rate) {
  const auto kept = static_cast<T>(rate);
  const auto rest = static_cast<T>(1 - rate);
  if (rate == 0) {
    std::copy_n(theta, count, average);
  } else if (rate > 0.5) {
    for (int64_t i = 0; i < count; ++i) average[i] += rest * (theta[i] - average[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) average[i] = theta[i] - kept * (theta[i] - average[i]);
  }
}

// All of them with one target; the macro because a target is no template argument.
#define CM_PASSES(name, ...)                                                                        \
  template <class T>                                                                                \
  struct name {                                                                                     \
    __VA_ARGS__ static double sum(const T* x, int64_t count) { return sum_of_squares(x, count); }   \
    __VA_ARGS__ static void step(const AdamArrays<T>& arrays, int64_t count, const AdamUpdate& u) { \
      adam(arrays, count, u);                                                                       \
    }                                                                                               \
    __VA_ARGS__ static void move(T* values, const T* theta, int64_t count, double rate) {           \
      average(values, theta, count, rate);                                                          \
    }                                                                                               \
    static constexpr Passes<T> passes = {sum, step, move};                                          \
  };

CM_PASSES(Anywhere)
CM_PASSES(Avx512, CM_TARGET_AVX512)
CM_PASSES(Avx2, CM_TARGET_AVX2)
#undef CM_PASSES

}  // namespace

template <class T>
const Passes<T>& passes() {
  return *by_processor(&Anywhere<T>::passes, &Avx2<T>::passes, &Avx512<T>::passes);
}

template const Passes<float>& passes<float>();
template const Passes<double>& passes<double>();

}  // namespace cm::multi_tensor_cpu
