#include "cm/nn/lpips.h"

#include <algorithm>
#include <string>

#include "cm/kernels/convolution.h"

namespace cm {
namespace {

struct Stage {
  int64_t convolutions;
  int64_t channels;
};
constexpr std::array<Stage, Lpips::kLayers> kVgg16 = {{{2, 64}, {2, 128}, {3, 256}, {3, 512}, {3, 512}}};
constexpr int64_t kSmallestSide = 16;  // four poolings leave one pixel

constexpr std::array kImagenetMean = {0.485, 0.456, 0.406};
constexpr std::array kImagenetStd = {0.229, 0.224, 0.225};

constexpr double kNormEpsilon = 1e-10;

constexpr int64_t kSmallerThan = 256;
constexpr int64_t kResizedSide = 224;

// ((v + 1)/2 − mean) / std of each colour. Scalars, unlike a tensor of constants, need no copy to the device.
Tensor imagenet_normalized(const Tensor& images) {
  std::vector<Tensor> colours;
  for (size_t c = 0; c < kImagenetMean.size(); ++c) {
    const Tensor colour = images.narrow(1, static_cast<int64_t>(c), 1);
    colours.push_back(colour * (0.5 / kImagenetStd[c]) + (0.5 - kImagenetMean[c]) / kImagenetStd[c]);
  }
  return torch::cat(colours, 1);
}

// Interpolation weights [to, from] of one axis: the resized unit vectors.
Tensor bilinear_weights(int64_t from, int64_t to, const at::TensorOptions& options) {
  const Tensor unit = torch::eye(from, options).view({1, 1, from, from});
  return at::upsample_bilinear2d(unit, at::IntArrayRef{to, from}, /*align_corners=*/false).view({to, from});
}

}  // namespace

Lpips::Lpips() {
  Initializer zero;
  int64_t in = static_cast<int64_t>(kImagenetMean.size());
  int64_t index = 0;
  for (size_t layer = 0; layer < kLayers; ++layer) {
    const auto [convolutions, channels] = kVgg16[layer];
    for (int64_t i = 0; i < convolutions; ++i) {
      stages_[layer].push_back(register_at(*this, "features." + std::to_string(index),
                                           Conv2d(zero, Conv2dOptions{.in = in, .out = channels})));
      in = channels;
      index += 2;  // its ReLU has an index too
    }
    ++index;  // as has the pooling
    lin_[layer] = register_parameter("lin" + std::to_string(layer), torch::zeros({1, channels, 1, 1}));
  }
  for (auto& parameter : parameters()) parameter.requires_grad_(false);
}

std::vector<Tensor> Lpips::features(const Tensor& images) const {
  TORCH_CHECK(
      images.dim() == 4 && images.size(1) == 3 && std::min(images.size(2), images.size(3)) >= kSmallestSide,
      "LPIPS needs images [B, 3, H, W] of at least ", kSmallestSide, " × ", kSmallestSide, " pixels, got ",
      images.sizes());
  std::vector<Tensor> found;
  Tensor x = in_convolution_layout(imagenet_normalized(images).to(lin_[0].scalar_type()));
  for (const auto& stage : stages_) {
    if (!found.empty()) x = torch::avg_pool2d(x, 2);
    for (const auto& convolution : stage) x = convolution->forward(x).relu_();
    found.push_back(unit_channels(x.to(at::promote_types(x.scalar_type(), at::kFloat))));
  }
  return found;
}

Tensor Lpips::per_layer(const Tensor& a, const Tensor& b) const {
  TORCH_CHECK(a.sizes() == b.sizes(), "LPIPS compares images of one shape, got ", a.sizes(), " and ",
              b.sizes());
  const std::vector<Tensor> of_b = features(b);
  const std::vector<Tensor> of_a = features(a);
  std::vector<Tensor> terms;
  for (size_t layer = 0; layer < kLayers; ++layer) {
    const Tensor per_channel = (of_a[layer] - of_b[layer]).square().mean({2, 3});
    terms.push_back(torch::mv(per_channel, lin_[layer].flatten().to(per_channel.scalar_type())));
  }
  return torch::stack(terms, 1);
}

Tensor Lpips::forward(const Tensor& a, const Tensor& b) const {
  return per_layer(a, b).sum(1);
}

Tensor unit_channels(const Tensor& features) {
  const Tensor norm = at::linalg_vector_norm(features, 2, /*dim=*/{1}, /*keepdim=*/true);
  return features * (norm + kNormEpsilon).reciprocal().masked_fill(norm == 0, 0);
}

// Two matrix products: on CUDA the backward pass of the resizing kernel adds in any order, so that no run
// would repeat bit for bit.
Tensor lpips_sized(const Tensor& images) {
  if (images.size(3) >= kSmallerThan) return images;
  const Tensor rows = bilinear_weights(images.size(2), kResizedSide, images.options());
  const Tensor columns = bilinear_weights(images.size(3), kResizedSide, images.options());
  return rows.matmul(images).matmul(columns.t());
}

}  // namespace cm
