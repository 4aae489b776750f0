#include "winograd.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "winograd_passes.h"

namespace cm::winograd {
namespace {

constexpr int64_t kBlockBytes = 1 << 19;  // of the tiles that are transformed at once: half an L2 cache
// Many channels: more tiles, so that the kernels, which no cache holds, are read for many of them.
constexpr int64_t kBlockOfKernels = 4;  // a block has this part of the kernels' bytes
constexpr int64_t kChunkOfKernels = 2;  // and one of the weight gradient this

constexpr int64_t kSumOfATile = 5;    // the element of A dy Aᵀ that is the sum of a tile's dy
constexpr int64_t kTilesOfASum = 64;  // in fp32; their totals are doubles

using Buffer = std::unique_ptr<float[]>;

Buffer uninitialised(int64_t count) {
  return Buffer(new float[static_cast<size_t>(count)]);
}

int64_t kernel_bytes(const Shape& shape) {
  return kElements * shape.in * shape.out * static_cast<int64_t>(sizeof(float));
}

// The transformed kernels as the right-hand sides of the 16 products, [16, columns/kLanes, depth, kLanes], in
// the order in which a product reads them: depth = in, columns = out; or, `turned`, those of the input's
// gradient: depth = out, columns = in, kernels rotated by 180°.
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
        passes()->transform_kernels(g, u.get() + column * depth + l * kLanes, depth * columns);
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
void convolve_by(const Shape& shape, const float* x, const Buffer& kernels, const Sum& sum, float* y) {
  const Tiles tiles(shape);
  const int64_t bytes = std::max(kBlockBytes, kernel_bytes(shape) / kBlockOfKernels);
  const int64_t size = tiles_within(shape, bytes, at::get_num_threads());
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
                            .b_row = kLanes,
                            .b_panel = shape.in * kLanes,
                            .c = m.get() + e * count * shape.out,
                            .c_row = shape.out,
                            .rows = count,
                            .columns = shape.out,
                            .depth = shape.in,
                            .add = false});
      }
      passes()->transform_outputs(block, m.get(), sum, y);
    }
  });
}

// Transformed tiles of x and of dy, [16, count, channels].
struct TilePairs {
  const float* v;
  const float* d;
  int64_t count;
};

// u [rows, out] (+)= Σ v_e[tile, first + row] · d_e[tile, out] over the tiles, for `rows` input channels.
void add_products(const Shape& shape, const TilePairs& tiles, int64_t e, int64_t first, int64_t rows,
                  bool add, float* u) {
  passes()->multiply({.a = tiles.v + e * tiles.count * shape.in + first,
                      .a_row = 1,
                      .a_step = shape.in,
                      .b = tiles.d + e * tiles.count * shape.out,
                      .b_row = shape.out,
                      .b_panel = kLanes,
                      .c = u,
                      .c_row = shape.out,
                      .rows = rows,
                      .columns = shape.out,
                      .depth = tiles.count,
                      .add = add});
}

// dweight of input channel c from its row of each element of u, `plane` apart.
void store_weight_gradient(const Shape& shape, const float* u, int64_t plane, int64_t c, float* dweight) {
  Kernels g;
  for (int64_t k = 0; k < shape.out; k += kLanes) {
    passes()->kernel_gradients(u + k, plane, g);
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      float* const kernel = dweight + ((k + lane) * shape.in + c) * kTaps;
      for (size_t tap = 0; tap < kTaps; ++tap) kernel[tap] = g[tap][static_cast<size_t>(lane)];
    }
  }
}

// Where all tiles are there: some input channels after others, whose sums stay in the cache until they are
// stored.
void gradient_by_channels(const Shape& shape, const TilePairs& tiles, float* dweight) {
  const int64_t fitting = kBlockBytes / (kElements * shape.out * static_cast<int64_t>(sizeof(float)));
  const int64_t share = (shape.in + at::get_num_threads() - 1) / at::get_num_threads();
  const int64_t rows = std::max<int64_t>(1, std::min(fitting, share) / kRowsAtOnce) * kRowsAtOnce;
  at::parallel_for(0, (shape.in + rows - 1) / rows, 1, [&](int64_t begin, int64_t end) {
    const Buffer u = uninitialised(kElements * rows * shape.out);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i * rows;
      const int64_t last = std::min(first + rows, shape.in);
      for (int64_t e = 0; e < kElements; ++e) {
        add_products(shape, tiles, e, first, last - first, false, u.get() + e * rows * shape.out);
      }
      for (int64_t c = first; c < last; ++c) {
        store_weight_gradient(shape, u.get() + (c - first) * shape.out, rows * shape.out, c, dweight);
      }
    }
  });
}

// u [16, in, out] (+)= the products of some tiles.
void add_all_products(const Shape& shape, const TilePairs& tiles, bool add, float* u) {
  constexpr int64_t kRows = 4 * kRowsAtOnce;
  const int64_t parts = (shape.in + kRows - 1) / kRows;
  at::parallel_for(0, kElements * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t e = i / parts;
      const int64_t row = i % parts * kRows;
      add_products(shape, tiles, e, row, std::min(kRows, shape.in - row), add,
                   u + (e * shape.in + row) * shape.out);
    }
  });
}

// Adds rows [tiles, out] to sums [out].
void add_tiles(const Shape& shape, const float* rows, int64_t tiles, double* sums) {
  at::parallel_for(0, shape.out / kLanes, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin * kLanes; k < end * kLanes; k += kLanes) {
      for (int64_t first = 0; first < tiles; first += kTilesOfASum) {
        std::array<float, kLanes> sum = {};
        for (int64_t tile = first; tile < std::min(first + kTilesOfASum, tiles); ++tile) {
          for (int64_t lane = 0; lane < kLanes; ++lane) sum[lane] += rows[tile * shape.out + k + lane];
        }
        for (int64_t lane = 0; lane < kLanes; ++lane) sums[k + lane] += sum[lane];
      }
    }
  });
}

}  // namespace

bool is_available() {
  return passes() != nullptr;
}

void convolve(const Shape& shape, const float* x, const float* weight, const Sum& sum, float* y) {
  convolve_by(shape, x, transformed_kernels(shape, weight, false), sum, y);
}

void input_gradient(const Shape& shape, const float* dy, const float* weight, float* dx) {
  Shape turned = shape;
  std::swap(turned.in, turned.out);
  convolve_by(turned, dy, transformed_kernels(shape, weight, true), {}, dx);
}

void weight_gradient(const Shape& shape, const float* x, const float* dy, float* dweight, float* dbias) {
  const Tiles tiles(shape);
  const int64_t bytes = std::max(passes()->chunk_bytes, kernel_bytes(shape) / kChunkOfKernels);
  const int64_t size = tiles_within(shape, bytes, 1);
  const std::vector<float> zeros(static_cast<size_t>(shape.in), 0);
  const Buffer v = uninitialised(kElements * size * shape.in);
  const Buffer d = uninitialised(kElements * size * shape.out);
  std::vector<double> sums(static_cast<size_t>(shape.out), 0);
  const auto transformed = [&](int64_t origin) {
    const int64_t count = std::min(size, tiles.count - origin);
    at::parallel_for(origin, origin + count, kRowsAtOnce, [&](int64_t begin, int64_t end) {
      const Block block{shape, begin, end, origin, count};
      passes()->transform_inputs(block, x, shape.in, zeros.data(), v.get());
      passes()->transform_gradients(block, dy, d.get());
    });
    if (dbias != nullptr) add_tiles(shape, d.get() + kSumOfATile * count * shape.out, count, sums.data());
    return TilePairs{v.get(), d.get(), count};
  };
  const auto write_bias = [&] {
    for (int64_t k = 0; dbias != nullptr && k < shape.out; ++k) dbias[k] = static_cast<float>(sums[k]);
  };
  if (tiles.count <= size) {
    gradient_by_channels(shape, transformed(0), dweight);
    return write_bias();
  }
  const Buffer u = uninitialised(kElements * shape.in * shape.out);
  for (int64_t origin = 0; origin < tiles.count; origin += size) {
    add_all_products(shape, transformed(origin), origin > 0, u.get());
  }
  at::parallel_for(0, shape.in, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      store_weight_gradient(shape, u.get() + c * shape.out, shape.in * shape.out, c, dweight);
    }
  });
  write_bias();
}

}  // namespace cm::winograd
