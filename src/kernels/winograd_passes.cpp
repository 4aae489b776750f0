#include "winograd_passes.h"

#include "float_vector.h"
#include "processor.h"

namespace cm::winograd {
namespace {

// The pixels of an image's tile: 4×4 around its 2×2 outputs; those outside the image are `zeros`.
using Patch = std::array<const float*, kElements>;

Patch patch_of(const Shape& shape, const Tiles& tiles, const float* x, int64_t channels, int64_t tile,
               const float* zeros) {
  const int64_t image = tile / (tiles.rows * tiles.columns);
  const int64_t top = 2 * (tile / tiles.columns % tiles.rows) - 1;
  const int64_t left = 2 * (tile % tiles.columns) - 1;
  Patch patch;
  for (int64_t r = 0; r < 4; ++r) {
    for (int64_t s = 0; s < 4; ++s) {
      const int64_t h = top + r;
      const int64_t w = left + s;
      const bool inside = h >= 0 && h < shape.height && w >= 0 && w < shape.width;
      patch[static_cast<size_t>(4 * r + s)] =
          inside ? x + ((image * shape.height + h) * shape.width + w) * channels : zeros;
    }
  }
  return patch;
}

// The place of a tile's upper left output.
int64_t output_place(const Shape& shape, const Tiles& tiles, int64_t channels, int64_t tile) {
  const int64_t image = tile / (tiles.rows * tiles.columns);
  const int64_t h = 2 * (tile / tiles.columns % tiles.rows);
  const int64_t w = 2 * (tile % tiles.columns);
  return ((image * shape.height + h) * shape.width + w) * channels;
}

// v[e · stride] = (Bᵀ d B)_e for all channels of one tile.
template <class V>
[[gnu::always_inline]] inline void input_transform(const Patch& d, int64_t channels, float* v,
                                                   int64_t stride) {
  for (int64_t c = 0; c < channels; c += vec::kLanes<V>) {
    V t[4][4];
    for (size_t s = 0; s < 4; ++s) {
      const V d0 = vec::load<V>(d[s] + c);
      const V d1 = vec::load<V>(d[4 + s] + c);
      const V d2 = vec::load<V>(d[8 + s] + c);
      const V d3 = vec::load<V>(d[12 + s] + c);
      t[0][s] = d0 - d2;
      t[1][s] = d1 + d2;
      t[2][s] = d2 - d1;
      t[3][s] = d1 - d3;
    }
    for (int64_t r = 0; r < 4; ++r) {
      vec::store(v + (4 * r + 0) * stride + c, t[r][0] - t[r][2]);
      vec::store(v + (4 * r + 1) * stride + c, t[r][1] + t[r][2]);
      vec::store(v + (4 * r + 2) * stride + c, t[r][2] - t[r][1]);
      vec::store(v + (4 * r + 3) * stride + c, t[r][1] - t[r][3]);
    }
  }
}

// y, four places, = the sum with Aᵀ m A for all channels of one tile, whose upper left output is at `place`.
template <class V>
[[gnu::always_inline]] inline void output_transform(const float* m, int64_t stride, int64_t channels,
                                                    const Sum& sum, float* y, int64_t place, int64_t row) {
  for (int64_t c = 0; c < channels; c += vec::kLanes<V>) {
    V t[2][4];
    for (int64_t s = 0; s < 4; ++s) {
      const V m0 = vec::load<V>(m + s * stride + c);
      const V m1 = vec::load<V>(m + (4 + s) * stride + c);
      const V m2 = vec::load<V>(m + (8 + s) * stride + c);
      const V m3 = vec::load<V>(m + (12 + s) * stride + c);
      t[0][s] = m0 + m1 + m2;
      t[1][s] = m1 - m2 - m3;
    }
    for (int64_t r = 0; r < 2; ++r) {
      const int64_t at = place + r * row + c;
      V left = t[r][0] + t[r][1] + t[r][2];
      V right = t[r][1] - t[r][2] - t[r][3];
      if (sum.bias != nullptr) {
        left += vec::load<V>(sum.bias + c);
        right += vec::load<V>(sum.bias + c);
      }
      if (sum.kept != nullptr) {
        left = (left + vec::load<V>(sum.kept + at)) * sum.factor;
        right = (right + vec::load<V>(sum.kept + at + channels)) * sum.factor;
      }
      vec::store(y + at, left);
      vec::store(y + at + channels, right);
    }
  }
}

// d[e · stride] = (A dy Aᵀ)_e, the transpose of output_transform.
template <class V>
[[gnu::always_inline]] inline void gradient_transform(const float* dy, int64_t row, int64_t channels,
                                                      float* d, int64_t stride) {
  for (int64_t c = 0; c < channels; c += vec::kLanes<V>) {
    V t[4][2];
    for (int64_t s = 0; s < 2; ++s) {
      const V upper = vec::load<V>(dy + s * channels + c);
      const V lower = vec::load<V>(dy + row + s * channels + c);
      t[0][s] = upper;
      t[1][s] = upper + lower;
      t[2][s] = upper - lower;
      t[3][s] = -lower;
    }
    for (int64_t r = 0; r < 4; ++r) {
      vec::store(d + (4 * r + 0) * stride + c, t[r][0]);
      vec::store(d + (4 * r + 1) * stride + c, t[r][0] + t[r][1]);
      vec::store(d + (4 * r + 2) * stride + c, t[r][0] - t[r][1]);
      vec::store(d + (4 * r + 3) * stride + c, -t[r][1]);
    }
  }
}

// kRows × kVectors vectors of c, held in registers over the whole depth.
template <class V, int kRows, int kVectors>
[[gnu::always_inline]] inline void multiply_tile(const Product& p, int64_t i, int64_t j) {
  V sum[kRows][kVectors];
  float* const c = p.c + i * p.c_row + j;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v)
      sum[r][v] = p.add ? vec::load<V>(c + r * p.c_row + v * vec::kLanes<V>) : V{};
  }
  const float* a = p.a + i * p.a_row;
  const float* b[kVectors];
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    const int64_t column = j + v * vec::kLanes<V>;
    b[v] = p.b + column / kLanes * p.b_panel + column % kLanes;
  }
  for (int64_t l = 0; l < p.depth; ++l, a += p.a_step) {
    V factors[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) factors[v] = vec::load<V>(b[v] + l * p.b_row);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const float factor = a[r * p.a_row];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[r][v] += factor * factors[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) vec::store(c + r * p.c_row + v * vec::kLanes<V>, sum[r][v]);
  }
}

template <class V, int kRows, int kVectors>
[[gnu::always_inline]] inline void multiply_columns(const Product& p, int64_t j) {
  int64_t i = 0;
  for (; i + kRows <= p.rows; i += kRows) multiply_tile<V, kRows, kVectors>(p, i, j);
  for (; i + 4 <= p.rows; i += 4) multiply_tile<V, 4, kVectors>(p, i, j);
  for (; i < p.rows; ++i) multiply_tile<V, 1, kVectors>(p, i, j);
}

template <class V, int kRows, int kVectors>
[[gnu::always_inline]] inline void multiply(const Product& p) {
  int64_t j = 0;
  constexpr int64_t kColumns = kVectors * vec::kLanes<V>;
  for (; j + kColumns <= p.columns; j += kColumns) multiply_columns<V, kRows, kVectors>(p, j);
  for (; j < p.columns; j += vec::kLanes<V>) multiply_columns<V, kRows, 1>(p, j);
}

template <class V>
[[gnu::always_inline]] inline void transform_inputs(const Block& block, const float* x, int64_t channels,
                                                    const float* zeros, float* v) {
  const Tiles tiles(block.shape);
  for (int64_t tile = block.first; tile < block.last; ++tile) {
    const Patch patch = patch_of(block.shape, tiles, x, channels, tile, zeros);
    input_transform<V>(patch, channels, v + (tile - block.origin) * channels, block.capacity * channels);
  }
}

template <class V>
[[gnu::always_inline]] inline void transform_outputs(const Block& block, const float* m, const Sum& sum,
                                                     float* y) {
  const Tiles tiles(block.shape);
  const int64_t channels = block.shape.out;
  for (int64_t tile = block.first; tile < block.last; ++tile) {
    output_transform<V>(m + (tile - block.origin) * channels, block.capacity * channels, channels, sum, y,
                        output_place(block.shape, tiles, channels, tile), block.shape.width * channels);
  }
}

template <class V>
[[gnu::always_inline]] inline void transform_gradients(const Block& block, const float* dy, float* d) {
  const Tiles tiles(block.shape);
  const int64_t channels = block.shape.out;
  for (int64_t tile = block.first; tile < block.last; ++tile) {
    gradient_transform<V>(dy + output_place(block.shape, tiles, channels, tile), block.shape.width * channels,
                          channels, d + (tile - block.origin) * channels, block.capacity * channels);
  }
}

template <class V>
[[gnu::always_inline]] inline void transform_kernels(const Kernels& g, float* u, int64_t stride) {
  for (int64_t lane = 0; lane < kLanes; lane += vec::kLanes<V>) {
    V t[4][3];
    for (size_t s = 0; s < 3; ++s) {
      const V outer = 0.5F * (vec::load<V>(g[s].data() + lane) + vec::load<V>(g[6 + s].data() + lane));
      const V inner = 0.5F * vec::load<V>(g[3 + s].data() + lane);
      t[0][s] = vec::load<V>(g[s].data() + lane);
      t[1][s] = outer + inner;
      t[2][s] = outer - inner;
      t[3][s] = vec::load<V>(g[6 + s].data() + lane);
    }
    for (int64_t r = 0; r < 4; ++r) {
      const V outer = 0.5F * (t[r][0] + t[r][2]);
      const V inner = 0.5F * t[r][1];
      vec::store(u + (4 * r + 0) * stride + lane, t[r][0]);
      vec::store(u + (4 * r + 1) * stride + lane, outer + inner);
      vec::store(u + (4 * r + 2) * stride + lane, outer - inner);
      vec::store(u + (4 * r + 3) * stride + lane, t[r][2]);
    }
  }
}

template <class V>
[[gnu::always_inline]] inline void kernel_gradients(const float* u, int64_t stride, Kernels& g) {
  for (int64_t lane = 0; lane < kLanes; lane += vec::kLanes<V>) {
    V t[3][4];
    for (int64_t s = 0; s < 4; ++s) {
      const V u1 = vec::load<V>(u + (4 + s) * stride + lane);
      const V u2 = vec::load<V>(u + (8 + s) * stride + lane);
      t[0][s] = vec::load<V>(u + s * stride + lane) + 0.5F * (u1 + u2);
      t[1][s] = 0.5F * (u1 - u2);
      t[2][s] = 0.5F * (u1 + u2) + vec::load<V>(u + (12 + s) * stride + lane);
    }
    for (size_t r = 0; r < 3; ++r) {
      vec::store(g[3 * r + 0].data() + lane, t[r][0] + 0.5F * (t[r][1] + t[r][2]));
      vec::store(g[3 * r + 1].data() + lane, 0.5F * (t[r][1] - t[r][2]));
      vec::store(g[3 * r + 2].data() + lane, 0.5F * (t[r][1] + t[r][2]) + t[r][3]);
    }
  }
}

// All of them with one target, by the vector that its registers hold (the compiler keeps larger ones in
// memory) and as many sums as fit into them; the macro because a target is no template argument.
#define CM_PASSES(name, V, rows, vectors, chunk, ...)                                                        \
  struct name {                                                                                              \
    __VA_ARGS__ static void inputs(const Block& block, const float* x, int64_t channels, const float* zeros, \
                                   float* v) {                                                               \
      transform_inputs<V>(block, x, channels, zeros, v);                                                     \
    }                                                                                                        \
    __VA_ARGS__ static void outputs(const Block& block, const float* m, const Sum& sum, float* y) {          \
      transform_outputs<V>(block, m, sum, y);                                                                \
    }                                                                                                        \
    __VA_ARGS__ static void gradients(const Block& block, const float* dy, float* d) {                       \
      transform_gradients<V>(block, dy, d);                                                                  \
    }                                                                                                        \
    __VA_ARGS__ static void product(const Product& p) { multiply<V, rows, vectors>(p); }                     \
    __VA_ARGS__ static void kernels(const Kernels& g, float* u, int64_t stride) {                            \
      transform_kernels<V>(g, u, stride);                                                                    \
    }                                                                                                        \
    __VA_ARGS__ static void of_kernels(const float* u, int64_t stride, Kernels& g) {                         \
      kernel_gradients<V>(u, stride, g);                                                                     \
    }                                                                                                        \
    static constexpr Passes passes = {inputs, outputs, gradients, product, kernels, of_kernels, chunk};      \
  };

// The chunks are the fastest of those tried on a Zen 4 and a Zen 3.
CM_PASSES(Avx512, vec::Floats16, kRowsAtOnce, 2, 1 << 23, CM_TARGET_AVX512)
CM_PASSES(Avx2, vec::Floats8, kRowsAtOnce / 2, 2, 1 << 21, CM_TARGET_AVX2)
#undef CM_PASSES

}  // namespace

const Passes* passes() {
  return by_processor<const Passes*>(nullptr, &Avx2::passes, &Avx512::passes);
}

}  // namespace cm::winograd
