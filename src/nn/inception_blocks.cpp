#include "cm/nn/inception_blocks.h"

namespace cm {
namespace {

constexpr double kBatchNormEpsilon = 0.001;

using Side = std::array<int64_t, 2>;
constexpr Side k1x3 = {1, 3};
constexpr Side k3x1 = {3, 1};
constexpr Side k3x3 = {3, 3};
constexpr Side k5x5 = {5, 5};
constexpr Side k1x7 = {1, 7};
constexpr Side k7x1 = {7, 1};

NormedConvolution pointwise(const WeightLookup& source, const std::string& name, int64_t in, int64_t out) {
  return {scoped(source, name), {.in = in, .out = out}};
}

// Padded so that the size stays.
NormedConvolution same(const WeightLookup& source, const std::string& name, int64_t in, int64_t out,
                       const Side& kernel) {
  return {scoped(source, name),
          {.in = in, .out = out, .kernel = kernel, .padding = {kernel[0] / 2, kernel[1] / 2}}};
}

NormedConvolution halving(const WeightLookup& source, const std::string& name, int64_t in, int64_t out) {
  return {scoped(source, name), {.in = in, .out = out, .kernel = k3x3, .stride = 2}};
}

template <size_t N>
Tensor chain(const std::array<NormedConvolution, N>& convolutions, Tensor x) {
  for (const auto& convolution : convolutions) x = convolution(x);
  return x;
}

Tensor mean_around(const Tensor& x) {
  return torch::avg_pool2d(x, 3, 1, 1, /*ceil_mode=*/false, /*count_include_pad=*/false);
}

Tensor pooled(const Tensor& x, InceptionPooling pooling) {
  switch (pooling) {
    case InceptionPooling::mean:
      return mean_around(x);
    case InceptionPooling::max:
      return torch::max_pool2d(x, 3, 1, 1);
  }
  TORCH_CHECK(false, "no such pooling");
}

}  // namespace

WeightLookup scoped(const WeightLookup& source, const std::string& scope) {
  return [source, prefix = scope + "."](const std::string& name, at::IntArrayRef shape) {
    return source(prefix + name, shape);
  };
}

NormedConvolution::NormedConvolution(const WeightLookup& source, const ConvolutionOptions& options)
    : options_(options) {
  const auto [height, width] = options.kernel;
  const auto read = [&](const char* name, at::IntArrayRef shape) {
    return source(name, shape).to(torch::kFloat64);
  };
  const Tensor weight = read("conv.weight", {options.out, options.in, height, width});
  const Tensor gamma = read("bn.weight", options.out);
  const Tensor beta = read("bn.bias", options.out);
  const Tensor mean = read("bn.running_mean", options.out);
  const Tensor variance = read("bn.running_var", options.out);
  const Tensor scale = gamma / (variance + kBatchNormEpsilon).sqrt();
  weight_ =
      (weight * scale.view({-1, 1, 1, 1})).to(torch::kFloat32).contiguous(at::MemoryFormat::ChannelsLast);
  bias_ = (beta - mean * scale).to(torch::kFloat32);
}

Tensor NormedConvolution::operator()(const Tensor& x) const {
  return torch::conv2d(x, weight_, bias_, options_.stride, options_.padding).relu_();
}

NormedConvolution NormedConvolution::first_channels(int64_t count) const {
  NormedConvolution first = *this;
  first.options_.out = count;
  first.weight_ = weight_.narrow(0, 0, count);
  first.bias_ = bias_.narrow(0, 0, count);
  return first;
}

InceptionA::InceptionA(const WeightLookup& source, int64_t in, int64_t pool_channels)
    : branch1x1_(pointwise(source, "branch1x1", in, 64)),
      branch5x5_{pointwise(source, "branch5x5_1", in, 48), same(source, "branch5x5_2", 48, 64, k5x5)},
      branch3x3dbl_{pointwise(source, "branch3x3dbl_1", in, 64), same(source, "branch3x3dbl_2", 64, 96, k3x3),
                    same(source, "branch3x3dbl_3", 96, 96, k3x3)},
      branch_pool_(pointwise(source, "branch_pool", in, pool_channels)) {}

Tensor InceptionA::operator()(const Tensor& x) const {
  return torch::cat(
      {branch1x1_(x), chain(branch5x5_, x), chain(branch3x3dbl_, x), branch_pool_(mean_around(x))}, 1);
}

InceptionB::InceptionB(const WeightLookup& source, int64_t in)
    : branch3x3_(halving(source, "branch3x3", in, 384)),
      branch3x3dbl_{pointwise(source, "branch3x3dbl_1", in, 64), same(source, "branch3x3dbl_2", 64, 96, k3x3),
                    halving(source, "branch3x3dbl_3", 96, 96)} {}

Tensor InceptionB::operator()(const Tensor& x) const {
  return torch::cat({branch3x3_(x), chain(branch3x3dbl_, x), torch::max_pool2d(x, 3, 2)}, 1);
}

InceptionC::InceptionC(const WeightLookup& source, int64_t in, int64_t inner)
    : branch1x1_(pointwise(source, "branch1x1", in, 192)),
      branch7x7_{pointwise(source, "branch7x7_1", in, inner), same(source, "branch7x7_2", inner, inner, k1x7),
                 same(source, "branch7x7_3", inner, 192, k7x1)},
      branch7x7dbl_{pointwise(source, "branch7x7dbl_1", in, inner),
                    same(source, "branch7x7dbl_2", inner, inner, k7x1),
                    same(source, "branch7x7dbl_3", inner, inner, k1x7),
                    same(source, "branch7x7dbl_4", inner, inner, k7x1),
                    same(source, "branch7x7dbl_5", inner, 192, k1x7)},
      branch_pool_(pointwise(source, "branch_pool", in, 192)) {}

Tensor InceptionC::operator()(const Tensor& x) const {
  return torch::cat(
      {branch1x1_(x), chain(branch7x7_, x), chain(branch7x7dbl_, x), branch_pool_(mean_around(x))}, 1);
}

InceptionD::InceptionD(const WeightLookup& source, int64_t in)
    : branch3x3_{pointwise(source, "branch3x3_1", in, 192), halving(source, "branch3x3_2", 192, 320)},
      branch7x7x3_{pointwise(source, "branch7x7x3_1", in, 192), same(source, "branch7x7x3_2", 192, 192, k1x7),
                   same(source, "branch7x7x3_3", 192, 192, k7x1),
                   halving(source, "branch7x7x3_4", 192, 192)} {}

Tensor InceptionD::operator()(const Tensor& x) const {
  return torch::cat({chain(branch3x3_, x), chain(branch7x7x3_, x), torch::max_pool2d(x, 3, 2)}, 1);
}

InceptionE::InceptionE(const WeightLookup& source, int64_t in, InceptionPooling pooling)
    : pooling_(pooling),
      branch1x1_(pointwise(source, "branch1x1", in, 320)),
      branch3x3_{pointwise(source, "branch3x3_1", in, 384), same(source, "branch3x3_2a", 384, 384, k1x3),
                 same(source, "branch3x3_2b", 384, 384, k3x1)},
      branch3x3dbl_{
          pointwise(source, "branch3x3dbl_1", in, 448), same(source, "branch3x3dbl_2", 448, 384, k3x3),
          same(source, "branch3x3dbl_3a", 384, 384, k1x3), same(source, "branch3x3dbl_3b", 384, 384, k3x1)},
      branch_pool_(pointwise(source, "branch_pool", in, 192)) {}

Tensor InceptionE::operator()(const Tensor& x) const {
  const Tensor once = branch3x3_[0](x);
  const Tensor twice = branch3x3dbl_[1](branch3x3dbl_[0](x));
  return torch::cat({branch1x1_(x), branch3x3_[1](once), branch3x3_[2](once), branch3x3dbl_[2](twice),
                     branch3x3dbl_[3](twice), branch_pool_(pooled(x, pooling_))},
                    1);
}

}  // namespace cm
