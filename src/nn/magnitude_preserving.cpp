#include "cm/nn/magnitude_preserving.h"

#include <cmath>
#include <numbers>

#include "cm/kernels/convolution.h"

namespace cm {
namespace {

constexpr double kMagnitudeEpsilon = 1e-4;

double root(int64_t count) {
  return std::sqrt(static_cast<double>(count));
}

Tensor norm_over(const Tensor& x, at::IntArrayRef dims) {
  const auto precise = at::promote_types(x.scalar_type(), at::kFloat);
  return at::linalg_vector_norm(x, 2, dims, /*keepdim=*/true, precise);
}

// ‖W‖ + ε√N of each output's weights, [out, 1, …]: n(W)/√N is W over this.
Tensor norm_of_rows(const Tensor& weight) {
  std::vector<int64_t> dims(static_cast<size_t>(weight.dim() - 1));
  for (size_t i = 0; i < dims.size(); ++i) dims[i] = static_cast<int64_t>(i) + 1;
  return norm_over(weight, dims) + kMagnitudeEpsilon * root(weight.numel() / weight.size(0));
}

}  // namespace

Tensor unit_magnitude(const Tensor& x, int64_t dim) {
  const Tensor magnitude = norm_over(x, dim) / root(x.size(dim)) + kMagnitudeEpsilon;
  return x / magnitude.to(x.scalar_type());
}

MpSum mp_sum(double t) {
  const double magnitude = std::hypot(1 - t, t);
  return {(1 - t) / magnitude, t / magnitude};
}

Tensor mp_cat(const Tensor& a, const Tensor& b, double t) {
  const double magnitude = root(a.size(1) + b.size(1));
  const auto [first, second] = mp_sum(t);
  return torch::cat({a * (first * magnitude / root(a.size(1))), b * (second * magnitude / root(b.size(1)))},
                    1);
}

MpWeight::MpWeight(Initializer& initializer, at::IntArrayRef shape, double gain) : gain_(gain) {
  weight = register_parameter("weight", initializer.normal(shape));
}

Tensor MpWeight::scaled(const Tensor& learned) const {
  const Tensor gain = gain_ / norm_of_rows(weight);
  return weight * (learned.defined() ? gain * learned : gain);
}

Tensor MpLinearImpl::of_classes(const Tensor& labels) const {
  return class_rows(scaled({}).t(), labels) * root(weight.size(1));
}

Tensor MpConv2dImpl::forward(const Tensor& x, const Tensor& learned_gain) const {
  const Tensor w = weight_for(held_.defined() ? held_ : scaled(learned_gain), x);
  return w.size(2) == 3 ? convolution_3x3(x, w, /*bias=*/{}) : torch::conv2d(x, w);
}

void MpConv2dImpl::hold(torch::Dtype type) {
  const torch::NoGradGuard guard;
  held_ = weight_for(scaled({}), torch::empty({}, weight.options().dtype(type)));
}

MpFourierImpl::MpFourierImpl(Initializer& initializer, int64_t width) {
  freqs_ = register_buffer("freqs", initializer.normal({width}) * (2 * std::numbers::pi));
  phases_ = register_buffer("phases", initializer.uniform({width}, std::numbers::pi));
}

Tensor MpFourierImpl::forward(const Tensor& c) const {
  const Tensor precise = c.to(at::promote_types(c.scalar_type(), at::kFloat));
  return (precise.unsqueeze(1) * freqs_ + phases_).cos() * std::numbers::sqrt2;
}

std::vector<Tensor> magnitude_preserving_weights(const torch::nn::Module& module) {
  std::vector<Tensor> weights;
  for (const auto& part : module.modules(/*include_self=*/false)) {
    if (const auto* layer = dynamic_cast<const MpWeight*>(part.get())) weights.push_back(layer->weight);
  }
  return weights;
}

void normalize_weights(const std::vector<Tensor>& weights) {
  const torch::NoGradGuard guard;
  for (const Tensor& weight : weights) {
    weight.div_(norm_of_rows(weight) / root(weight.numel() / weight.size(0)));
  }
}

}  // namespace cm
