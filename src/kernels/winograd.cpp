#include "winograd.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "winograd_passes.h"

namespace cm::winograd {
namespace {

constexpr int64_t kBlockBytes = 1 << 19;  // of the tiles that are transformed at once: half an L2 cache

using Buffer = std::unique_ptr<float[]>;

Buffer uninitialised(int64_t count) {
  return Buffer(new float[static_cast<size_t>(count)]);
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
        passes()->transform_kernels(g, u.get() + l * columns + column, depth * columns);
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
        passes()->kernel_gradients(u + c * shape.out + k, shape.in * shape.out, g);
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
  const int64_t size = tiles_within(shape, passes()->chunk_bytes, 1);
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
