#include "box_resample_cpu.h"

#include <algorithm>

#include "each_part.h"

namespace cm::box_resample_cpu {
namespace {

constexpr int64_t kNumbersOfAThread = 1 << 14;

int64_t grain_of(const BoxImages<float>& images) {
  return std::max<int64_t>(1, kNumbersOfAThread / (images.width * images.depth()));
}

// The pixels of a row of `small`, and the four of `large` that belong to each.
struct Row {
  Row(const BoxImages<float>& images, int64_t row)
      : depth(images.depth()),
        right(depth),
        below(2 * images.width * depth),
        small(images.small + row * images.width * depth),
        large(images.large + row * 4 * images.width * depth) {}

  int64_t depth;
  int64_t right;
  int64_t below;
  float* small;
  float* large;
};

template <class V>
[[gnu::always_inline]] inline V load_of(const float* p) {
  return vec::load<V>(p);
}
template <>
[[gnu::always_inline]] inline float load_of<float>(const float* p) {
  return *p;
}
[[gnu::always_inline]] inline void store_to(float* p, float x) {
  *p = x;
}
template <class V>
[[gnu::always_inline]] inline void store_to(float* p, const V& x) {
  vec::store(p, x);
}

struct Spread {
  template <class V>
  [[gnu::always_inline]] static void numbers(const Row& row, int64_t small, int64_t large, float factor) {
    const V x = load_of<V>(row.small + small) * factor;
    float* const y = row.large + large;
    store_to(y, x);
    store_to(y + row.right, x);
    store_to(y + row.below, x);
    store_to(y + row.below + row.right, x);
  }
};

struct Gather {
  template <class V>
  [[gnu::always_inline]] static void numbers(const Row& row, int64_t small, int64_t large, float factor) {
    const float* const x = row.large + large;
    const V above = load_of<V>(x) + load_of<V>(x + row.right);
    const V below = load_of<V>(x + row.below) + load_of<V>(x + row.below + row.right);
    store_to(row.small + small, (above + below) * factor);
  }
};

// Which::numbers for every vector of the pixels of a row, and for every number that fills none.
template <class Which>
struct Rows {
  BoxImages<float> images;

  template <class V>
  [[gnu::always_inline]] void run(int64_t number) const {
    const Row row(images, number);
    for (int64_t j = 0; j < images.width; ++j) {
      const int64_t small = j * row.depth;
      int64_t c = 0;
      for (; c + vec::kLanes<V> <= row.depth; c += vec::kLanes<V>) {
        Which::template numbers<V>(row, small + c, 2 * small + c, images.factor);
      }
      for (; c < row.depth; ++c) {
        Which::template numbers<float>(row, small + c, 2 * small + c, images.factor);
      }
    }
  }
};

}  // namespace

void spread(const BoxImages<float>& images) {
  each_part(Rows<Spread>{images}, images.rows(), grain_of(images));
}

void gather(const BoxImages<float>& images) {
  each_part(Rows<Gather>{images}, images.rows(), grain_of(images));
}

}  // namespace cm::box_resample_cpu
