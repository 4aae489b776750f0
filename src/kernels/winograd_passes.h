// The passes of winograd.h that its time goes to, over some tiles at once, compiled for each kind of
// processor.
#pragma once

#include <array>

#include "winograd.h"

namespace cm::winograd {

constexpr int64_t kElements = 16;    // of a transformed tile, 4×4
constexpr int64_t kRowsAtOnce = 12;  // of a product, in registers; some processors take half
constexpr int64_t kTaps = 9;         // of a kernel, 3×3

// 3×3 numbers for each of kLanes kernels.
using Kernels = std::array<std::array<float, kLanes>, kTaps>;

// Tiles are numbered over images, rows and columns.
struct Tiles {
  int64_t rows;
  int64_t columns;
  int64_t count;

  explicit Tiles(const Shape& shape)
      : rows(shape.height / 2), columns(shape.width / 2), count(shape.batch * rows * columns) {}
};

// Tiles [first, last), in arrays of transformed tiles [16, capacity, channels] whose first is `origin`.
struct Block {
  Shape shape;
  int64_t first;
  int64_t last;
  int64_t origin;
  int64_t capacity;
};

// A product of matrices, one of the 16: rows of `a` by index, each element a factor of a row of `b`.
//   c[i][j] (+)= Σ_l a[i · a_row + l · a_step] · b[l · b_row + ⌊j/kLanes⌋ · b_panel + j mod kLanes],
//   i < rows, j < columns, l < depth
struct Product {
  const float* a;
  int64_t a_row;
  int64_t a_step;
  const float* b;
  int64_t b_row;
  int64_t b_panel;  // kLanes where the rows of b are whole
  float* c;
  int64_t c_row;
  int64_t rows;
  int64_t columns;  // a multiple of kLanes
  int64_t depth;
  bool add;
};

struct Passes {
  // x [batch, height, width, channels] → v = Bᵀ d B; `zeros` [channels] stand for pixels outside the images.
  void (*transform_inputs)(const Block& block, const float* x, int64_t channels, const float* zeros,
                           float* v);
  // m → y, the sum with Aᵀ m A.
  void (*transform_outputs)(const Block& block, const float* m, const Sum& sum, float* y);
  // dy → d = A dy Aᵀ, the transpose of transform_outputs.
  void (*transform_gradients)(const Block& block, const float* dy, float* d);
  void (*multiply)(const Product& product);
  // u[e · stride + lane] = (G g Gᵀ)_e.
  void (*transform_kernels)(const Kernels& g, float* u, int64_t stride);
  // g = Gᵀ u G, the transpose of transform_kernels.
  void (*kernel_gradients)(const float* u, int64_t stride, Kernels& g);
  // Of the tiles that the weight gradient transforms at once, to sum the products of one element after
  // another.
  int64_t chunk_bytes;
};

// Of the processor that this runs on; null where it lacks the instructions that they are written for.
const Passes* passes();

}  // namespace cm::winograd
