#include "cm/nn/layers.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

#include "cm/base/random.h"

namespace cm {
namespace {

constexpr int64_t kGroups = 32;
constexpr double kGroupNormEpsilon = 1e-5;

at::Generator generator_of(uint64_t seed, uint32_t tensor) {
  const RandomKey key{.seed = seed, .purpose = Purpose::initial_weights};
  return at::make_generator<at::CPUGeneratorImpl>(key.bits(tensor));
}

}  // namespace

Tensor Initializer::uniform(at::IntArrayRef shape, double bound) {
  if (!seed_) return torch::zeros(shape);
  return torch::empty(shape).uniform_(-bound, bound, generator_of(*seed_, next_++));
}

Tensor Initializer::normal(at::IntArrayRef shape) {
  if (!seed_) return torch::zeros(shape);
  return torch::empty(shape).normal_(0, 1, generator_of(*seed_, next_++));
}

LinearImpl::LinearImpl(Initializer& initializer, int64_t in, int64_t out) {
  const double bound = 1 / std::sqrt(static_cast<double>(in));
  weight = register_parameter("weight", initializer.uniform({out, in}, bound));
  bias = register_parameter("bias", initializer.uniform({out}, bound));
}

Conv2dImpl::Conv2dImpl(Initializer& initializer, const Conv2dOptions& options)
    : stride_(options.stride), padding_(options.kernel / 2) {
  const int64_t fan_in = options.in * options.kernel * options.kernel;
  const double bound = options.zero ? 0 : 1 / std::sqrt(static_cast<double>(fan_in));
  weight = register_parameter(
      "weight", initializer.uniform({options.out, options.in, options.kernel, options.kernel}, bound));
  bias = register_parameter("bias", initializer.uniform({options.out}, bound));
}

GroupNormImpl::GroupNormImpl(int64_t channels) {
  TORCH_CHECK(channels % kGroups == 0, "group normalisation needs a multiple of 32 channels, got ", channels);
  weight = register_parameter("weight", torch::ones({channels}));
  bias = register_parameter("bias", torch::zeros({channels}));
}

Tensor GroupNormImpl::forward(const Tensor& x) const {
  return torch::group_norm(x, kGroups, weight, bias, kGroupNormEpsilon);
}

EmbeddingImpl::EmbeddingImpl(Initializer& initializer, int64_t count, int64_t width) {
  weight = register_parameter("weight", initializer.normal({count, width}));
}

Tensor time_features(const Tensor& time, int64_t width) {
  const int64_t half = width / 2;
  const Tensor k = torch::arange(half, time.options().dtype(torch::kFloat32));
  const Tensor frequencies = (k * (-std::log(10000.0) / static_cast<double>(half))).exp();
  const Tensor angles = time.to(torch::kFloat32).unsqueeze(1) * frequencies;
  const Tensor features = torch::cat({angles.cos(), angles.sin()}, 1);
  return width % 2 == 0 ? features : torch::constant_pad_nd(features, {0, 1});
}

}  // namespace cm
