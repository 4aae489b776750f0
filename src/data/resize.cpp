#include "cm/data/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace cm {
namespace {

constexpr int kFractionBits = 22;  // Pillow's: 8 bits for the pixel, 2 for overshoot

// The inputs [first, first + weights.size()) of one output, with fixed-point weights.
struct Taps {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

double support(ResizeFilter filter) {
  switch (filter) {
    case ResizeFilter::box:
      return 0.5;
    case ResizeFilter::bicubic:
      return 2.0;
  }
  TORCH_CHECK(false, "unknown filter");
}

double kernel(ResizeFilter filter, double x) {
  switch (filter) {
    case ResizeFilter::box:
      return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
    case ResizeFilter::bicubic: {
      constexpr double a = -0.5;
      x = std::abs(x);
      if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
      if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
      return 0.0;
    }
  }
  TORCH_CHECK(false, "unknown filter");
}

Taps taps_of(int64_t output, int64_t in, int64_t out, ResizeFilter filter) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double widening = std::max(scale, 1.0);
  const double reach = support(filter) * widening;
  const double center = (static_cast<double>(output) + 0.5) * scale;
  const auto first = std::max<int64_t>(0, static_cast<int64_t>(center - reach + 0.5));
  const auto last = std::min<int64_t>(in, static_cast<int64_t>(center + reach + 0.5));

  std::vector<double> weights;
  double sum = 0.0;
  for (int64_t i = first; i < last; ++i) {
    weights.push_back(kernel(filter, (static_cast<double>(i) - center + 0.5) * (1.0 / widening)));
    sum += weights.back();
  }
  Taps taps{first, {}};
  for (const double weight : weights) {
    taps.weights.push_back(static_cast<int32_t>(std::round(weight / sum * (1 << kFractionBits))));
  }
  return taps;
}

// Resizes the middle dimension of [outer, in, inner].
Tensor resize_middle(const Tensor& pixels, int64_t out, ResizeFilter filter) {
  const int64_t in = pixels.size(1);
  const int64_t inner = pixels.size(2);
  std::vector<Taps> taps;
  for (int64_t i = 0; i < out; ++i) taps.push_back(taps_of(i, in, out, filter));

  Tensor result = torch::empty({pixels.size(0), out, inner}, torch::kUInt8);
  const uint8_t* source = pixels.const_data_ptr<uint8_t>();
  uint8_t* next = result.data_ptr<uint8_t>();
  for (int64_t o = 0; o < pixels.size(0); ++o, source += in * inner) {
    for (const auto& [first, weights] : taps) {
      for (int64_t i = 0; i < inner; ++i) {
        const uint8_t* pixel = source + first * inner + i;
        int32_t sum = 1 << (kFractionBits - 1);
        for (const int32_t weight : weights) {
          sum += weight * *pixel;
          pixel += inner;
        }
        *next++ = static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
      }
    }
  }
  return result;
}

}  // namespace

Tensor resize(const Tensor& pixels, int64_t height, int64_t width, ResizeFilter filter) {
  TORCH_CHECK(pixels.dim() == 3 && pixels.scalar_type() == torch::kUInt8 && pixels.numel() > 0,
              "pixels must be uint8 [C, H, W]");
  TORCH_CHECK(height > 0 && width > 0, "an image can't be resized to ", height, "×", width);
  const int64_t channels = pixels.size(0);
  Tensor result = pixels.contiguous();
  if (width != result.size(2)) {
    result = resize_middle(result.view({channels * result.size(1), result.size(2), 1}), width, filter)
                 .view({channels, result.size(1), width});
  }
  return height == result.size(1) ? result : resize_middle(result, height, filter);
}

Tensor center_crop(const Tensor& pixels, int64_t size) {
  Tensor image = pixels;
  while (std::min(image.size(1), image.size(2)) >= 2 * size) {
    image = resize(image, image.size(1) / 2, image.size(2) / 2, ResizeFilter::box);
  }
  const double scale =
      static_cast<double>(size) / static_cast<double>(std::min(image.size(1), image.size(2)));
  const auto scaled = [&](int64_t side) {  // halves to even, as Python's round
    return static_cast<int64_t>(std::nearbyint(static_cast<double>(side) * scale));
  };
  image = resize(image, scaled(image.size(1)), scaled(image.size(2)), ResizeFilter::bicubic);
  const int64_t top = (image.size(1) - size) / 2;
  const int64_t left = (image.size(2) - size) / 2;
  return image.slice(1, top, top + size).slice(2, left, left + size);
}

}  // namespace cm
