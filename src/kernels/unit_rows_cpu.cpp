#include "unit_rows_cpu.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "float_vector.h"
#include "processor.h"

namespace cm::unit_rows_cpu {
namespace {

constexpr int64_t kNumbersOfAThread = 1 << 14;

// Σ a b. Lanes of several vectors, so that sums are short and do not wait for one another.
template <class V>
[[gnu::always_inline]] inline double product(const float* a, const float* b, int64_t count) {
  constexpr int64_t kSums = 4;
  constexpr int64_t kStep = kSums * vec::kLanes<V>;
  V sums[kSums] = {};
  int64_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    for (int64_t k = 0; k < kSums; ++k) {
      const int64_t place = i + k * vec::kLanes<V>;
      sums[k] += vec::load<V>(a + place) * vec::load<V>(b + place);
    }
  }
  const V lanes = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double total = 0;
  for (int64_t k = 0; k < vec::kLanes<V>; ++k) total += static_cast<double>(lanes[k]);
  for (; i < count; ++i) total += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return total;
}

// body(place, lanes) over a row.
template <class V, class Body>
[[gnu::always_inline]] inline void each(int64_t count, const Body& body) {
  int64_t i = 0;
  for (; i + vec::kLanes<V> <= count; i += vec::kLanes<V>) body(i, vec::kLanes<V>);
  if (i < count) body(i, count - i);
}

struct Forward {
  Rows rows;
  float* y;
};

template <class V>
[[gnu::always_inline]] inline void run(const Forward& job, int64_t row) {
  const Rows& rows = job.rows;
  const float* const x = rows.x + row * rows.width;
  float* const y = job.y + row * rows.width;
  const double norm = std::sqrt(product<V>(x, x, rows.width));
  const auto scale = static_cast<float>(rows.length / (norm + rows.epsilon));
  each<V>(rows.width, [&](int64_t place, int64_t lanes) {
    vec::store(y + place, lanes, vec::load(x + place, lanes, V{}) * scale);
  });
}

struct Backward {
  Rows rows;
  const float* dy;
  float* dx;
  float* dlength;
};

// With n = ‖x‖ and s = length/(n + ε): dx = s dy − s (x·dy)/(n (n + ε)) x. A row of zeros has no direction.
template <class V>
[[gnu::always_inline]] inline void run(const Backward& job, int64_t row) {
  const Rows& rows = job.rows;
  const float* const x = rows.x + row * rows.width;
  const float* const dy = job.dy + row * rows.width;
  float* const dx = job.dx + row * rows.width;
  const double norm = std::sqrt(product<V>(x, x, rows.width));
  const double along = product<V>(x, dy, rows.width) / (norm + rows.epsilon);
  if (job.dlength != nullptr) job.dlength[row] = static_cast<float>(along);
  const double any_scale = rows.length / (norm + rows.epsilon);
  const auto scale = static_cast<float>(any_scale);
  const auto pull = static_cast<float>(norm > 0 ? any_scale * along / norm : 0.0);
  each<V>(rows.width, [&](int64_t place, int64_t lanes) {
    const V gradient = vec::load(dy + place, lanes, V{}) * scale;
    vec::store(dx + place, lanes, gradient - vec::load(x + place, lanes, V{}) * pull);
  });
}

template <class Job>
using Runner = void (*)(const Job&, int64_t, int64_t);

template <class Job>
CM_TARGET_AVX512 void run_avx512(const Job& job, int64_t first, int64_t end) {
  for (int64_t row = first; row < end; ++row) run<vec::Floats16>(job, row);
}

template <class Job>
CM_TARGET_AVX2 void run_avx2(const Job& job, int64_t first, int64_t end) {
  for (int64_t row = first; row < end; ++row) run<vec::Floats8>(job, row);
}

template <class Job>
void run_anywhere(const Job& job, int64_t first, int64_t end) {
  for (int64_t row = first; row < end; ++row) run<vec::Floats4>(job, row);
}

template <class Job>
void run_all(const Job& job) {
  const auto runner = by_processor<Runner<Job>>(run_anywhere<Job>, run_avx2<Job>, run_avx512<Job>);
  const int64_t grain = std::max<int64_t>(1, kNumbersOfAThread / std::max<int64_t>(1, job.rows.width));
  at::parallel_for(0, job.rows.count, grain, [&](int64_t first, int64_t end) { runner(job, first, end); });
}

}  // namespace

void forward(const Rows& rows, float* y) {
  run_all(Forward{.rows = rows, .y = y});
}

void backward(const Rows& rows, const float* dy, float* dx, float* dlength) {
  run_all(Backward{.rows = rows, .dy = dy, .dx = dx, .dlength = dlength});
}

}  // namespace cm::unit_rows_cpu
