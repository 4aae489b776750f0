// The passes of Winograd's minimal filtering F(2×2, 3×3) (Lavin & Gray 2015, arXiv 1509.09308, §4.1) over
// fp32 arrays in host memory:
//
//   Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A        for every 4×4 input tile d, kernel g and 2×2 output tile Y
//
// Summed over input channels, each of the 16 elements of ⊙ is a matrix product. Images are channels-last
// ([batch, height, width, channels]), so that vectors run along channels.
#pragma once

#include <cstdint>
#include <vector>

namespace cm::winograd {

struct Shape {
  int64_t batch;
  int64_t height;  // even
  int64_t width;   // even
  int64_t in;      // channels, multiples of kLanes
  int64_t out;
};

constexpr int64_t kLanes = 16;

// Whether this processor has the vector instructions that the passes are written for.
bool is_available();

// What is written of the convolution: (convolution + bias + kept) · factor, or convolution + bias.
struct Sum {
  const float* bias = nullptr;  // [out] or null
  const float* kept = nullptr;  // [batch, height, width, out] or null
  float factor = 1;             // where something is kept
};

// y [batch, height, width, out] = the sum with the 3×3 "same" convolution of x [batch, height, width, in]
// with weight [out, in, 3, 3].
void convolve(const Shape& shape, const float* x, const float* weight, const Sum& sum, float* y);

// dx [batch, height, width, in]: the gradient for x, given dy [batch, height, width, out].
void input_gradient(const Shape& shape, const float* dy, const float* weight, float* dx);

// dweight [out, in, 3, 3] and, unless null, dbias [out]: the gradients for weight and bias, given x and dy.
void weight_gradient(const Shape& shape, const float* x, const float* dy, float* dweight, float* dbias);

}  // namespace cm::winograd
