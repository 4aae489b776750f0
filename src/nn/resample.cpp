#include "cm/nn/resample.h"

#include "cm/base/dual.h"
#include "cm/kernels/box_resample.h"

namespace cm {
namespace {

// [1, 3, 3, 1] ⊗ [1, 3, 3, 1] / 64 for each of x's channels, as the weight of a depthwise convolution.
Tensor binomial_filter(const Tensor& x) {
  const Tensor taps = (4 - torch::linspace(-3, 3, 4, x.options()).abs()) / 8;
  return taps.outer(taps).expand({x.size(1), 1, 4, 4});
}

// Zeros between the pixels, then the filter four times as strong, so that the mean stays.
Tensor binomial_up(const Tensor& x) {
  return torch::conv_transpose2d(x, 4 * binomial_filter(x), /*bias=*/{}, /*stride=*/2, /*padding=*/1,
                                 /*output_padding=*/0, /*groups=*/x.size(1));
}

}  // namespace

Tensor binomial_down(const Tensor& x, int64_t padding) {
  return torch::conv2d(x, binomial_filter(x), /*bias=*/{}, /*stride=*/2, padding, /*dilation=*/1,
                       /*groups=*/x.size(1));
}

Tensor resample(const Tensor& x, Resample direction, ResampleFilter filter) {
  const bool box = filter == ResampleFilter::box;
  switch (direction) {
    case Resample::none:
      return x;
    case Resample::up:
      return box ? spread_2x2(x, 1) : linear_map(x, binomial_up);
    case Resample::down:
      return box ? gather_2x2(x, 0.25) : linear_map(x, [](const Tensor& h) { return binomial_down(h, 1); });
  }
  TORCH_INTERNAL_ASSERT(false, "not a direction");
}

}  // namespace cm
