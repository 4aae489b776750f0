#include "winograd_passes.h"

#include <array>

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
[[gnu::always_inline]] inline void input_transform(const Patch& d, int64_t channels, float* v,
                                                   int64_t stride) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    Vector t[4][4];
    for (size_t s = 0; s < 4; ++s) {
      const Vector d0 = vec::load<Vector>(d[s] + c);
      const Vector d1 = vec::load<Vector>(d[4 + s] + c);
      const Vector d2 = vec::load<Vector>(d[8 + s] + c);
      const Vector d3 = vec::load<Vector>(d[12 + s] + c);
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

// y, four places, = Aᵀ m A + bias for all channels of one tile.
[[gnu::always_inline]] inline void output_transform(const float* m, int64_t stride, int64_t channels,
                                                    const float* bias, float* y, int64_t row) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    Vector t[2][4];
    for (int64_t s = 0; s < 4; ++s) {
      const Vector m0 = vec::load<Vector>(m + s * stride + c);
      const Vector m1 = vec::load<Vector>(m + (4 + s) * stride + c);
      const Vector m2 = vec::load<Vector>(m + (8 + s) * stride + c);
      const Vector m3 = vec::load<Vector>(m + (12 + s) * stride + c);
      t[0][s] = m0 + m1 + m2;
      t[1][s] = m1 - m2 - m3;
    }
    for (int64_t r = 0; r < 2; ++r) {
      Vector left = t[r][0] + t[r][1] + t[r][2];
      Vector right = t[r][1] - t[r][2] - t[r][3];
      if (bias != nullptr) {
        left += vec::load<Vector>(bias + c);
        right += vec::load<Vector>(bias + c);
      }
      vec::store(y + r * row + c, left);
      vec::store(y + r * row + channels + c, right);
    }
  }
}

// d[e · stride] = (A dy Aᵀ)_e, the transpose of output_transform.
[[gnu::always_inline]] inline void gradient_transform(const float* dy, int64_t row, int64_t channels,
                                                      float* d, int64_t stride) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    Vector t[4][2];
    for (int64_t s = 0; s < 2; ++s) {
      const Vector upper = vec::load<Vector>(dy + s * channels + c);
      const Vector lower = vec::load<Vector>(dy + row + s * channels + c);
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
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void multiply_tile(const Product& p, int64_t i, int64_t j) {
  Vector sum[kRows][kVectors];
  float* const c = p.c + i * p.c_row + j;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v)
      sum[r][v] = p.add ? vec::load<Vector>(c + r * p.c_row + v * kLanes) : Vector{};
  }
  const float* a = p.a + i * p.a_row;
  const float* b = p.b + j;
  for (int64_t l = 0; l < p.depth; ++l, a += p.a_step, b += p.b_row) {
    Vector factors[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) factors[v] = vec::load<Vector>(b + v * kLanes);
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
    for (int v = 0; v < kVectors; ++v) vec::store(c + r * p.c_row + v * kLanes, sum[r][v]);
  }
}

template <int kRows, int kVectors>
[[gnu::always_inline]] inline void multiply_columns(const Product& p, int64_t j) {
  int64_t i = 0;
  for (; i + kRows <= p.rows; i += kRows) multiply_tile<kRows, kVectors>(p, i, j);
  for (; i + 4 <= p.rows; i += 4) multiply_tile<4, kVectors>(p, i, j);
  for (; i < p.rows; ++i) multiply_tile<1, kVectors>(p, i, j);
}

template <int kRows, int kVectors>
[[gnu::always_inline]] inline void multiply(const Product& p) {
  int64_t j = 0;
  for (; j + kVectors * kLanes <= p.columns; j += kVectors * kLanes) multiply_columns<kRows, kVectors>(p, j);
  for (; j < p.columns; j += kLanes) multiply_columns<kRows, 1>(p, j);
}

[[gnu::always_inline]] inline void transform_inputs(const Block& block, const float* x, int64_t channels,
                                                    const float* zeros, float* v) {
  const Tiles tiles(block.shape);
  for (int64_t tile = block.first; tile < block.last; ++tile) {
    const Patch patch = patch_of(block.shape, tiles, x, channels, tile, zeros);
    input_transform(patch, channels, v + (tile - block.origin) * channels, block.capacity * channels);
  }
}

[[gnu::always_inline]] inline void transform_outputs(const Block& block, const float* m, const float* bias,
                                                     float* y) {
  const Tiles tiles(block.shape);
  const int64_t channels = block.shape.out;
  for (int64_t tile = block.first; tile < block.last; ++tile) {
    output_transform(m + (tile - block.origin) * channels, block.capacity * channels, channels, bias,
                     y + output_place(block.shape, tiles, channels, tile), block.shape.width * channels);
  }
}

[[gnu::always_inline]] inline void transform_gradients(const Block& block, const float* dy, float* d) {
  const Tiles tiles(block.shape);
  const int64_t channels = block.shape.out;
  for (int64_t tile = block.first; tile < block.last; ++tile) {
    gradient_transform(dy + output_place(block.shape, tiles, channels, tile), block.shape.width * channels,
                       channels, d + (tile - block.origin) * channels, block.capacity * channels);
  }
}

// All of them with one target; the macro because a target is no template argument.
#define CM_PASSES(name, rows, vectors, ...)                                                                  \
  struct name {                                                                                              \
    __VA_ARGS__ static void inputs(const Block& block, const float* x, int64_t channels, const float* zeros, \
                                   float* v) {                                                               \
      transform_inputs(block, x, channels, zeros, v);                                                        \
    }                                                                                                        \
    __VA_ARGS__ static void outputs(const Block& block, const float* m, const float* bias, float* y) {       \
      transform_outputs(block, m, bias, y);                                                                  \
    }                                                                                                        \
    __VA_ARGS__ static void gradients(const Block& block, const float* dy, float* d) {                       \
      transform_gradients(block, dy, d);                                                                     \
    }                                                                                                        \
    __VA_ARGS__ static void product(const Product& p) { multiply<rows, vectors>(p); }                        \
    static constexpr Passes passes = {inputs, outputs, gradients, product};                                  \
  };

CM_PASSES(Avx512, kRowsAtOnce, 2, CM_TARGET_AVX512)
CM_PASSES(Avx2, kRowsAtOnce / 2, 1, CM_TARGET_AVX2)
#undef CM_PASSES

}  // namespace

const Passes* passes() {
  return by_processor<const Passes*>(nullptr, &Avx2::passes, &Avx512::passes);
}

}  // namespace cm::winograd
