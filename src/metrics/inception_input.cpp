#include "cm/metrics/inception_input.h"

#include "cm/data/resize.h"
#include "cm/nn/inception.h"

namespace cm {
namespace {

constexpr int64_t kSide = Inception::kSide;
constexpr double kHalfRange = 128;

// Along one dimension: output i lies at i · in/out, rounded to fp32 as in TensorFlow; a + (b − a) · fraction
// between its neighbours a and b, of which the last may be the border's pixel.
Tensor legacy_bilinear(const Tensor& x, int64_t dim) {
  const int64_t in = x.size(dim);
  const auto scale = static_cast<float>(static_cast<double>(in) / static_cast<double>(kSide));
  const Tensor position = torch::arange(kSide, x.options()) * scale;
  const Tensor before = position.to(torch::kInt64);
  const Tensor after = (before + 1).clamp_max(in - 1);
  std::vector<int64_t> along(static_cast<size_t>(x.dim()), 1);
  along[static_cast<size_t>(dim)] = kSide;
  const Tensor fraction = (position - before).view(along);
  const Tensor a = x.index_select(dim, before);
  return a + (x.index_select(dim, after) - a) * fraction;
}

Tensor clean_bicubic(const Tensor& pixels) {
  const Tensor images = pixels.to(torch::kCPU, torch::kFloat32);
  std::vector<Tensor> resized;
  for (const Tensor& image : images.unbind()) {
    resized.push_back(resize(image, kSide, kSide, ResizeFilter::bicubic));
  }
  return torch::stack(resized).clamp(0, 255).to(pixels.device());
}

Tensor scaled_as_tensorflow(const Tensor& x) {
  return (x - kHalfRange) / kHalfRange;
}

Tensor of_any_colours(const Tensor& pixels, InceptionResize rule) {
  switch (rule) {
    case InceptionResize::tensorflow: {
      const Tensor wide = legacy_bilinear(pixels.to(torch::kFloat32), 3);
      return scaled_as_tensorflow(legacy_bilinear(wide, 2));
    }
    case InceptionResize::pytorch: {
      const Tensor unit = pixels.to(torch::kFloat32) / 255;
      return 2 * at::upsample_bilinear2d(unit, at::IntArrayRef{kSide, kSide}, /*align_corners=*/false) - 1;
    }
    case InceptionResize::clean:
      return scaled_as_tensorflow(clean_bicubic(pixels));
  }
  TORCH_CHECK(false, "no such rule");
}

}  // namespace

Tensor inception_input(const Tensor& pixels, InceptionResize rule) {
  TORCH_CHECK(pixels.dim() == 4 && pixels.scalar_type() == torch::kUInt8 &&
                  (pixels.size(1) == 1 || pixels.size(1) == 3) && pixels.numel() > 0,
              "pixels must be uint8 [N, 1 or 3, H, W], got ", pixels.sizes());
  return of_any_colours(pixels, rule).expand({-1, 3, -1, -1});
}

}  // namespace cm
