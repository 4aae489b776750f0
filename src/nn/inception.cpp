#include "cm/nn/inception.h"

#include "cm/nn/network.h"

namespace cm {
namespace {

constexpr int64_t kSpatialChannels = 7;
constexpr size_t kSpatialBlock = 2;  // of 6b, 6c, 6d, 6e: TensorFlow counts its blocks from "mixed", ours 5b

NormedConvolution stem(const WeightLookup& source, const std::string& name, ConvolutionOptions options) {
  return {scoped(source, name), options};
}

// Valid as long as `weights` are. InputError, with `what` in front, when they are another network's.
WeightLookup source_of(const std::map<std::string, Tensor>& weights, const torch::Device& device,
                       const std::string& what) {
  check_weights(weights, Inception::weights_like(), what);
  return [&weights, device](const std::string& name, at::IntArrayRef) {
    return weights.at(name).to(device, torch::kFloat32);
  };
}

}  // namespace

std::map<std::string, Tensor> Inception::weights_like() {
  std::map<std::string, Tensor> like;
  const Inception network([&like](const std::string& name, at::IntArrayRef shape) {
    return like[name] = torch::empty(shape, torch::kMeta);
  });
  return like;
}

Inception::Inception(const std::map<std::string, Tensor>& weights, const torch::Device& device,
                     const std::string& what)
    : Inception(source_of(weights, device, what)) {}

Inception::Inception(const WeightLookup& source)
    : first_{stem(source, "Conv2d_1a_3x3", {.in = 3, .out = 32, .kernel = {3, 3}, .stride = 2}),
             stem(source, "Conv2d_2a_3x3", {.in = 32, .out = 32, .kernel = {3, 3}}),
             stem(source, "Conv2d_2b_3x3", {.in = 32, .out = 64, .kernel = {3, 3}, .padding = {1, 1}})},
      second_{stem(source, "Conv2d_3b_1x1", {.in = 64, .out = 80}),
              stem(source, "Conv2d_4a_3x3", {.in = 80, .out = 192, .kernel = {3, 3}})},
      mixed_5_{{scoped(source, "Mixed_5b"), 192, 32},
               {scoped(source, "Mixed_5c"), 256, 64},
               {scoped(source, "Mixed_5d"), 288, 64}},
      mixed_6a_(scoped(source, "Mixed_6a"), 288),
      mixed_6_{{scoped(source, "Mixed_6b"), 768, 128},
               {scoped(source, "Mixed_6c"), 768, 160},
               {scoped(source, "Mixed_6d"), 768, 160},
               {scoped(source, "Mixed_6e"), 768, 192}},
      spatial_(mixed_6_[kSpatialBlock].branch1x1().first_channels(kSpatialChannels)),
      mixed_7a_(scoped(source, "Mixed_7a"), 768),
      mixed_7_{{scoped(source, "Mixed_7b"), 1280, InceptionPooling::mean},
               {scoped(source, "Mixed_7c"), 2048, InceptionPooling::max}},
      fc_(source("fc.weight", {kClasses, kPoolWidth})) {}

InceptionActivations Inception::forward(const Tensor& images, const InceptionOutputs& outputs) const {
  TORCH_CHECK(images.dim() == 4 && images.size(1) == 3 && images.size(2) == kSide && images.size(3) == kSide,
              "Inception needs images [B, 3, 299, 299], got ", images.sizes());
  const torch::NoGradGuard guard;
  const bool whole = outputs.pool || outputs.logits;
  InceptionActivations found;
  Tensor x = images.contiguous(at::MemoryFormat::ChannelsLast);
  for (const auto& convolution : first_) x = convolution(x);
  x = torch::max_pool2d(x, 3, 2);
  for (const auto& convolution : second_) x = convolution(x);
  x = torch::max_pool2d(x, 3, 2);
  for (const auto& block : mixed_5_) x = block(x);
  x = mixed_6a_(x);
  for (size_t i = 0; i < mixed_6_.size(); ++i) {
    if (i == kSpatialBlock) {
      if (outputs.spatial) found.spatial = spatial_(x).permute({0, 2, 3, 1}).flatten(1).contiguous();
      if (!whole) return found;
    }
    x = mixed_6_[i](x);
  }
  x = mixed_7a_(x);
  for (const auto& block : mixed_7_) x = block(x);
  const Tensor pool = x.mean({2, 3});
  if (outputs.pool) found.pool = pool;
  if (outputs.logits) found.logits = pool.matmul(fc_.t());
  return found;
}

}  // namespace cm
