#include "cm/nn/magnitude_preserving.h"

#include <cmath>
#include <numbers>

#include "cm/base/dual.h"
#include "cm/kernels/convolution.h"
#include "cm/kernels/unit_rows.h"

namespace cm {
namespace {

constexpr double kMagnitudeEpsilon = 1e-4;

double root(int64_t count) {
  return std::sqrt(static_cast<double>(count));
}

// n(w)·length/√N for rows w of N numbers.
RowScale row_scale(int64_t numbers, double length) {
  return {.length = length, .epsilon = kMagnitudeEpsilon * root(numbers)};
}

int64_t numbers_of_output(const Tensor& weight) {
  return weight.numel() / weight.size(0);
}

}  // namespace

Tensor unit_magnitude(const Tensor& x, int64_t parts) {
  const int64_t channels = x.size(1) / parts;
  const Tensor places = x.movedim(1, -1);  // of channels-last images the order that they lie in
  const Tensor rows = unit_rows(places.reshape({-1, channels}), row_scale(channels, root(channels)));
  return rows.view(places.sizes()).movedim(-1, 1).contiguous(x.suggest_memory_format());
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
  return unit_rows(weight, row_scale(numbers_of_output(weight), gain_), learned);
}

Tensor MpLinearImpl::forward(const Tensor& x, const Tensor& learned_gain) const {
  const Tensor w = scaled(learned_gain);
  return linear_map(x, [&](const Tensor& h) { return torch::linear(h, w); });
}

Tensor MpLinearImpl::of_classes(const Tensor& labels) const {
  return class_rows(scaled({}).t(), labels) * root(weight.size(1));
}

Tensor MpConv2dImpl::forward(const Tensor& x, const Tensor& learned_gain) const {
  const Tensor w = weight_for(is_scaled_ ? weight : scaled(learned_gain), x);
  return w.size(2) == 3 ? convolution_3x3(x, w, /*bias=*/{}) : convolution_1x1(x, w, /*bias=*/{});
}

void MpConv2dImpl::hold(torch::Dtype type) {
  const torch::NoGradGuard guard;
  const Tensor like = torch::empty({}, weight.options().dtype(type));
  weight.set_data(weight_for(is_scaled_ ? weight : scaled({}), like));
  is_scaled_ = true;
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
  for (const Tensor& weight : weights) {
    const int64_t numbers = numbers_of_output(weight);
    scale_rows(weight, row_scale(numbers, root(numbers)));
  }
}

}  // namespace cm
