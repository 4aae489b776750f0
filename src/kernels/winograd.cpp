#include "winograd.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

namespace cm::winograd {
namespace {

constexpr int64_t kElements = 16;         // of a transformed tile, 4×4
constexpr int64_t kTaps = 9;              // of a kernel, 3×3
constexpr int64_t kBlockBytes = 1 << 19;  // of the tiles that are transformed at once: half an L2 cache
constexpr int64_t kChunkBytes = 1 << 23;  // the same for the weight's gradient, which goes by L3
constexpr int64_t kRowsAtOnce = 12;       // of a product, in registers

// One vector of the widest kind; where that is AVX2, the compiler makes it two.
using Vector [[gnu::vector_size(64), gnu::aligned(4), gnu::may_alias]] = float;

const Vector& at(const float* p) {
  return *reinterpret_cast<const Vector*>(p);
}
Vector& at(float* p) {
  return *reinterpret_cast<Vector*>(p);
}

// Tiles are numbered over images, rows and columns.
struct Tiles {
  int64_t rows;
  int64_t columns;
  int64_t count;

  explicit Tiles(const Shape& shape)
      : rows(shape.height / 2), columns(shape.width / 2), count(shape.batch * rows * columns) {}
};

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
      const Vector d0 = at(d[s] + c);
      const Vector d1 = at(d[4 + s] + c);
      const Vector d2 = at(d[8 + s] + c);
      const Vector d3 = at(d[12 + s] + c);
      t[0][s] = d0 - d2;
      t[1][s] = d1 + d2;
      t[2][s] = d2 - d1;
      t[3][s] = d1 - d3;
    }
    for (int64_t r = 0; r < 4; ++r) {
      at(v + (4 * r + 0) * stride + c) = t[r][0] - t[r][2];
      at(v + (4 * r + 1) * stride + c) = t[r][1] + t[r][2];
      at(v + (4 * r + 2) * stride + c) = t[r][2] - t[r][1];
      at(v + (4 * r + 3) * stride + c) = t[r][1] - t[r][3];
    }
  }
}

// y, four places, = Aᵀ m A + bias for all channels of one tile.
[[gnu::always_inline]] inline void output_transform(const float* m, int64_t stride, int64_t channels,
                                                    const float* bias, float* y, int64_t row) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    Vector t[2][4];
    for (int64_t s = 0; s < 4; ++s) {
      const Vector m0 = at(m + s * stride + c);
      const Vector m1 = at(m + (4 + s) * stride + c);
      const Vector m2 = at(m + (8 + s) * stride + c);
      const Vector m3 = at(m + (12 + s) * stride + c);
      t[0][s] = m0 + m1 + m2;
      t[1][s] = m1 - m2 - m3;
    }
    for (int64_t r = 0; r < 2; ++r) {
      Vector left = t[r][0] + t[r][1] + t[r][2];
      Vector right = t[r][1] - t[r][2] - t[r][3];
      if (bias != nullptr) {
        left += at(bias + c);
        right += at(bias + c);
      }
      at(y + r * row + c) = left;
      at(y + r * row + channels + c) = right;
    }
  }
}

// d[e · stride] = (A dy Aᵀ)_e, the transpose of output_transform.
[[gnu::always_inline]] inline void gradient_transform(const float* dy, int64_t row, int64_t channels,
                                                      float* d, int64_t stride) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    Vector t[4][2];
    for (int64_t s = 0; s < 2; ++s) {
      const Vector upper = at(dy + s * channels + c);
      const Vector lower = at(dy + row + s * channels + c);
      t[0][s] = upper;
      t[1][s] = upper + lower;
      t[2][s] = upper - lower;
      t[3][s] = -lower;
    }
    for (int64_t r = 0; r < 4; ++r) {
      at(d + (4 * r + 0) * stride + c) = t[r][0];
      at(d + (4 * r + 1) * stride + c) = t[r][0] + t[r][1];
      at(d + (4 * r + 2) * stride + c) = t[r][0] - t[r][1];
      at(d + (4 * r + 3) * stride + c) = -t[r][1];
    }
  }
}

// A product of matrices, one of the 16: rows of `a` by index, each element a factor of a row of `b`.
//   c[i][j] (+)= Σ_l a[i · a_row + l · a_step] · b[l · b_row + j],   i < rows, j < columns, l < depth
struct Product {
  const float* a;
  int64_t a_row;
  int64_t a_step;
  const float* b;
  int64_t b_row;
  float* c;
  int64_t c_row;
  int64_t rows;
  int64_t columns;  // a multiple of kLanes
  int64_t depth;
  bool add;
};

// kRows × kVectors vectors of c, held in registers over the whole depth.
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void multiply_tile(const Product& p, int64_t i, int64_t j) {
  Vector sum[kRows][kVectors];
  float* const c = p.c + i * p.c_row + j;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sum[r][v] = p.add ? at(c + r * p.c_row + v * kLanes) : Vector{};
  }
  const float* a = p.a + i * p.a_row;
  const float* b = p.b + j;
  for (int64_t l = 0; l < p.depth; ++l, a += p.a_step, b += p.b_row) {
    Vector factors[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) factors[v] = at(b + v * kLanes);
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
    for (int v = 0; v < kVectors; ++v) at(c + r * p.c_row + v * kLanes) = sum[r][v];
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

// Tiles [first, last), in arrays of transformed tiles [16, capacity, channels] whose first is `origin`.
struct Block {
  Shape shape;
  int64_t first;
  int64_t last;
  int64_t origin;
  int64_t capacity;
};

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

// The hot passes, once for each kind of processor.
struct Passes {
  void (*transform_inputs)(const Block&, const float*, int64_t, const float*, float*);
  void (*transform_outputs)(const Block&, const float*, const float*, float*);
  void (*transform_gradients)(const Block&, const float*, float*);
  void (*multiply)(const Product&);
};

#if defined(__x86_64__)

namespace avx512 {
#define CM_TARGET [[gnu::target("avx512f,avx512vl,avx512dq,avx2,fma")]]
CM_TARGET void inputs(const Block& block, const float* x, int64_t channels, const float* zeros, float* v) {
  transform_inputs(block, x, channels, zeros, v);
}
CM_TARGET void outputs(const Block& block, const float* m, const float* bias, float* y) {
  transform_outputs(block, m, bias, y);
}
CM_TARGET void gradients(const Block& block, const float* dy, float* d) {
  transform_gradients(block, dy, d);
}
CM_TARGET void product(const Product& p) {
  multiply<12, 2>(p);
}
#undef CM_TARGET
}  // namespace avx512

namespace avx2 {
#define CM_TARGET [[gnu::target("avx2,fma")]]
CM_TARGET void inputs(const Block& block, const float* x, int64_t channels, const float* zeros, float* v) {
  transform_inputs(block, x, channels, zeros, v);
}
CM_TARGET void outputs(const Block& block, const float* m, const float* bias, float* y) {
  transform_outputs(block, m, bias, y);
}
CM_TARGET void gradients(const Block& block, const float* dy, float* d) {
  transform_gradients(block, dy, d);
}
CM_TARGET void product(const Product& p) {
  multiply<6, 1>(p);
}
#undef CM_TARGET
}  // namespace avx2

const Passes* passes_of_this_processor() {
  static const Passes wide = {avx512::inputs, avx512::outputs, avx512::gradients, avx512::product};
  static const Passes narrow = {avx2::inputs, avx2::outputs, avx2::gradients, avx2::product};
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) return &wide;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &narrow;
  return nullptr;
}

#else

const Passes* passes_of_this_processor() {
  return nullptr;
}

#endif

const Passes* passes() {
  static const Passes* const found = passes_of_this_processor();
  return found;
}

using Buffer = std::unique_ptr<float[]>;

Buffer uninitialised(int64_t count) {
  return Buffer(new float[static_cast<size_t>(count)]);
}

// 3×3 numbers for each lane.
using Kernels = std::array<std::array<float, kLanes>, kTaps>;

// u[e · stride] = (G g Gᵀ)_e.
void kernel_transform(const Kernels& g, float* u, int64_t stride) {
  Vector t[4][3];
  for (size_t s = 0; s < 3; ++s) {
    const Vector outer = 0.5F * (at(g[s].data()) + at(g[6 + s].data()));
    const Vector inner = 0.5F * at(g[3 + s].data());
    t[0][s] = at(g[s].data());
    t[1][s] = outer + inner;
    t[2][s] = outer - inner;
    t[3][s] = at(g[6 + s].data());
  }
  for (int64_t r = 0; r < 4; ++r) {
    const Vector outer = 0.5F * (t[r][0] + t[r][2]);
    const Vector inner = 0.5F * t[r][1];
    at(u + (4 * r + 0) * stride) = t[r][0];
    at(u + (4 * r + 1) * stride) = outer + inner;
    at(u + (4 * r + 2) * stride) = outer - inner;
    at(u + (4 * r + 3) * stride) = t[r][2];
  }
}

// g = Gᵀ u G, the transpose of kernel_transform.
void kernel_gradient(const float* u, int64_t stride, Kernels& g) {
  Vector t[3][4];
  for (int64_t s = 0; s < 4; ++s) {
    const Vector u1 = at(u + (4 + s) * stride);
    const Vector u2 = at(u + (8 + s) * stride);
    t[0][s] = at(u + s * stride) + 0.5F * (u1 + u2);
    t[1][s] = 0.5F * (u1 - u2);
    t[2][s] = 0.5F * (u1 + u2) + at(u + (12 + s) * stride);
  }
  for (size_t r = 0; r < 3; ++r) {
    at(g[3 * r + 0].data()) = t[r][0] + 0.5F * (t[r][1] + t[r][2]);
    at(g[3 * r + 1].data()) = 0.5F * (t[r][1] - t[r][2]);
    at(g[3 * r + 2].data()) = 0.5F * (t[r][1] + t[r][2]) + t[r][3];
  }
}

// The transformed kernels as the right-hand sides of the 16 products, [16, depth, columns]: depth = in,
// columns = out; or, `turned`, those of the input's gradient: depth = out, columns = in, kernels rotated by
// 180°.
Buffer transformed_kernels(const Shape& shape, const float* weight, bool turned) {
  const int64_t depth = turned ? shape.out : shape.in;
  const int64_t columns = turned ? shape.in : shape.out;
  Buffer u = uninitialised(kElements * depth * columns);
  at::parallel_for(0, columns / kLanes, 1, [&](int64_t begin, int64_t end) {
    Kernels g;
    for (int64_t column = begin * kLanes; column < end * kLanes; column += kLanes) {
      for (int64_t l = 0; l < depth; ++l) {
        for (int64_t lane = 0; lane < kLanes; ++lane) {
          const int64_t j = column + lane;
          const float* kernel = weight + (turned ? l * shape.in + j : j * shape.in + l) * kTaps;
          for (size_t tap = 0; tap < kTaps; ++tap) {
            g[tap][static_cast<size_t>(lane)] = kernel[turned ? kTaps - 1 - tap : tap];
          }
        }
        kernel_transform(g, u.get() + l * columns + column, depth * columns);
      }
    }
  });
  return u;
}

// How many tiles fit into `bytes` when transformed on both sides: whole register tiles, and no more than give
// every thread some.
int64_t tiles_within(const Shape& shape, int64_t bytes, int64_t threads) {
  const int64_t fitting = bytes / (kElements * (shape.in + shape.out) * static_cast<int64_t>(sizeof(float)));
  const int64_t share = (Tiles(shape).count + threads - 1) / threads;
  const int64_t wanted = std::min(fitting, share);
  return std::max<int64_t>(1, (wanted + kRowsAtOnce - 1) / kRowsAtOnce) * kRowsAtOnce;
}

// y = x ∗ kernels, with shape.in and shape.out as the channels of x and y.
void convolve_by(const Shape& shape, const float* x, const Buffer& kernels, const float* bias, float* y) {
  const Tiles tiles(shape);
  const int64_t size = tiles_within(shape, kBlockBytes, at::get_num_threads());
  const std::vector<float> zeros(static_cast<size_t>(shape.in), 0);
  at::parallel_for(0, (tiles.count + size - 1) / size, 1, [&](int64_t begin, int64_t end) {
    const Buffer v = uninitialised(kElements * size * shape.in);
    const Buffer m = uninitialised(kElements * size * shape.out);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i * size;
      const int64_t count = std::min(size, tiles.count - first);
      const Block block{shape, first, first + count, first, count};
      passes()->transform_inputs(block, x, shape.in, zeros.data(), v.get());
      for (int64_t e = 0; e < kElements; ++e) {
        passes()->multiply({.a = v.get() + e * count * shape.in,
                            .a_row = shape.in,
                            .a_step = 1,
                            .b = kernels.get() + e * shape.in * shape.out,
                            .b_row = shape.out,
                            .c = m.get() + e * count * shape.out,
                            .c_row = shape.out,
                            .rows = count,
                            .columns = shape.out,
                            .depth = shape.in,
                            .add = false});
      }
      passes()->transform_outputs(block, m.get(), bias, y);
    }
  });
}

// u [16, in, out] (+)= the products of the transformed tiles v and d, both with `count` of them.
void add_products(const Shape& shape, const float* v, const float* d, int64_t count, bool add, float* u) {
  constexpr int64_t kRows = 4 * kRowsAtOnce;
  const int64_t parts = (shape.in + kRows - 1) / kRows;
  at::parallel_for(0, kElements * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t e = i / parts;
      const int64_t row = i % parts * kRows;
      passes()->multiply({.a = v + e * count * shape.in + row,
                          .a_row = 1,
                          .a_step = shape.in,
                          .b = d + e * count * shape.out,
                          .b_row = shape.out,
                          .c = u + (e * shape.in + row) * shape.out,
                          .c_row = shape.out,
                          .rows = std::min(kRows, shape.in - row),
                          .columns = shape.out,
                          .depth = count,
                          .add = add});
    }
  });
}

void store_weight_gradient(const Shape& shape, const float* u, float* dweight) {
  at::parallel_for(0, shape.in, 1, [&](int64_t begin, int64_t end) {
    Kernels g;
    for (int64_t c = begin; c < end; ++c) {
      for (int64_t k = 0; k < shape.out; k += kLanes) {
        kernel_gradient(u + c * shape.out + k, shape.in * shape.out, g);
        for (int64_t lane = 0; lane < kLanes; ++lane) {
          float* const kernel = dweight + ((k + lane) * shape.in + c) * kTaps;
          for (size_t tap = 0; tap < kTaps; ++tap) kernel[tap] = g[tap][static_cast<size_t>(lane)];
        }
      }
    }
  });
}

}  // namespace

bool is_available() {
  return passes() != nullptr;
}

void convolve(const Shape& shape, const float* x, const float* weight, const float* bias, float* y) {
  convolve_by(shape, x, transformed_kernels(shape, weight, false), bias, y);
}

void input_gradient(const Shape& shape, const float* dy, const float* weight, float* dx) {
  Shape turned = shape;
  std::swap(turned.in, turned.out);
  convolve_by(turned, dy, transformed_kernels(shape, weight, true), nullptr, dx);
}

void weight_gradient(const Shape& shape, const float* x, const float* dy, float* dweight) {
  const Tiles tiles(shape);
  const int64_t size = tiles_within(shape, kChunkBytes, 1);
  const std::vector<float> zeros(static_cast<size_t>(shape.in), 0);
  const Buffer v = uninitialised(kElements * size * shape.in);
  const Buffer d = uninitialised(kElements * size * shape.out);
  const Buffer u = uninitialised(kElements * shape.in * shape.out);
  for (int64_t origin = 0; origin < tiles.count; origin += size) {
    const int64_t count = std::min(size, tiles.count - origin);
    at::parallel_for(origin, origin + count, kRowsAtOnce, [&](int64_t begin, int64_t end) {
      const Block block{shape, begin, end, origin, count};
      passes()->transform_inputs(block, x, shape.in, zeros.data(), v.get());
      passes()->transform_gradients(block, dy, d.get());
    });
    add_products(shape, v.get(), d.get(), count, origin > 0, u.get());
  }
  store_weight_gradient(shape, u.get(), dweight);
}

}  // namespace cm::winograd
