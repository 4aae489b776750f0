#include "unit_rows_cpu.h"

#include <algorithm>
#include <cmath>

#include "each_part.h"

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

  template <class V>
  [[gnu::always_inline]] void run(int64_t row) const {
    const int64_t first = row * rows.width;
    const float* const of_x = rows.x + first;
    float* const of_y = y + first;
    const double norm = std::sqrt(product<V>(of_x, of_x, rows.width));
    const auto scale = static_cast<float>(rows.length / (norm + rows.epsilon));
    each<V>(rows.width, [&](int64_t place, int64_t lanes) {
      vec::store(of_y + place, lanes, vec::load(of_x + place, lanes, V{}) * scale);
    });
  }
};

struct Backward {
  Rows rows;
  const float* dy;
  float* dx;
  float* dlength;

  // With n = ‖x‖ and s = length/(n + ε): dx = s dy − s (x·dy)/(n (n + ε)) x. A row of zeros has no direction.
  template <class V>
  [[gnu::always_inline]] void run(int64_t row) const {
    const int64_t first = row * rows.width;
    const float* const of_x = rows.x + first;
    const float* const of_dy = dy + first;
    float* const of_dx = dx + first;
    const double norm = std::sqrt(product<V>(of_x, of_x, rows.width));
    const double along = product<V>(of_x, of_dy, rows.width) / (norm + rows.epsilon);
    if (dlength != nullptr) dlength[row] = static_cast<float>(along);
    const double any_scale = rows.length / (norm + rows.epsilon);
    const auto scale = static_cast<float>(any_scale);
    const auto pull = static_cast<float>(norm > 0 ? any_scale * along / norm : 0.0);
    each<V>(rows.width, [&](int64_t place, int64_t lanes) {
      const V gradient = vec::load(of_dy + place, lanes, V{}) * scale;
      vec::store(of_dx + place, lanes, gradient - vec::load(of_x + place, lanes, V{}) * pull);
    });
  }
};

template <class Job>
void run_all(const Job& job) {
  const int64_t grain = std::max<int64_t>(1, kNumbersOfAThread / std::max<int64_t>(1, job.rows.width));
  each_part(job, job.rows.count, grain);
}

}  // namespace

void forward(const Rows& rows, float* y) {
  run_all(Forward{.rows = rows, .y = y});
}

void backward(const Rows& rows, const float* dy, float* dx, float* dlength) {
  run_all(Backward{.rows = rows, .dy = dy, .dx = dx, .dlength = dlength});
}

}  // namespace cm::unit_rows_cpu
