#include "cm/data/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace cm {
namespace {

// Pillow's arithmetic for uint8: sums in fixed point.
struct FixedPoint {
  using Sample = uint8_t;
  using Number = int32_t;
  static constexpr int kFractionBits = 22;  // 8 bits for the pixel, 2 for overshoot
  static constexpr Number kStart = 1 << (kFractionBits - 1);
  static Number weight(double w) { return static_cast<Number>(std::round(w * (1 << kFractionBits))); }
  static Sample sample(Number sum) { return static_cast<Sample>(std::clamp(sum >> kFractionBits, 0, 255)); }
};

// And for fp32: sums in float64.
struct FloatingPoint {
  using Sample = float;
  using Number = double;
  static constexpr Number kStart = 0;
  static Number weight(double w) { return w; }
  static Sample sample(Number sum) { return static_cast<Sample>(sum); }
};

// The inputs [first, first + weights.size()) of one output, with their weights.
template <class Arithmetic>
struct Taps {
  int64_t first = 0;
  std::vector<typename Arithmetic::Number> weights;
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

template <class Arithmetic>
Taps<Arithmetic> taps_of(int64_t output, int64_t in, int64_t out, ResizeFilter filter) {
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
  Taps<Arithmetic> taps{first, {}};
  for (const double weight : weights) taps.weights.push_back(Arithmetic::weight(weight / sum));
  return taps;
}

// Resizes the middle dimension of [outer, in, inner].
template <class Arithmetic>
Tensor resize_middle(const Tensor& pixels, int64_t out, ResizeFilter filter) {
  using Sample = typename Arithmetic::Sample;
  const int64_t in = pixels.size(1);
  const int64_t inner = pixels.size(2);
  std::vector<Taps<Arithmetic>> taps;
  for (int64_t i = 0; i < out; ++i) taps.push_back(taps_of<Arithmetic>(i, in, out, filter));

  Tensor result = torch::empty({pixels.size(0), out, inner}, pixels.scalar_type());
  const Sample* source = pixels.const_data_ptr<Sample>();
  Sample* next = result.data_ptr<Sample>();
  for (int64_t o = 0; o < pixels.size(0); ++o, source += in * inner) {
    for (const auto& [first, weights] : taps) {
      for (int64_t i = 0; i < inner; ++i) {
        const Sample* pixel = source + first * inner + i;
        typename Arithmetic::Number sum = Arithmetic::kStart;
        for (const auto weight : weights) {
          sum += weight * *pixel;
          pixel += inner;
        }
        *next++ = Arithmetic::sample(sum);
      }
    }
  }
  return result;
}

template <class Arithmetic>
Tensor resize_as(const Tensor& pixels, int64_t height, int64_t width, ResizeFilter filter) {
  const int64_t channels = pixels.size(0);
  Tensor result = pixels.contiguous();
  if (width != result.size(2)) {
    const Tensor rows = result.view({channels * result.size(1), result.size(2), 1});
    result = resize_middle<Arithmetic>(rows, width, filter).view({channels, result.size(1), width});
  }
  return height == result.size(1) ? result : resize_middle<Arithmetic>(result, height, filter);
}

}  // namespace

Tensor resize(const Tensor& pixels, int64_t height, int64_t width, ResizeFilter filter) {
  const bool bytes = pixels.scalar_type() == torch::kUInt8;
  TORCH_CHECK(pixels.dim() == 3 && pixels.numel() > 0 && (bytes || pixels.scalar_type() == torch::kFloat32),
              "pixels must be uint8 or fp32 [C, H, W]");
  TORCH_CHECK(height > 0 && width > 0, "an image can't be resized to ", height, "×", width);
  return bytes ? resize_as<FixedPoint>(pixels, height, width, filter)
               : resize_as<FloatingPoint>(pixels, height, width, filter);
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
