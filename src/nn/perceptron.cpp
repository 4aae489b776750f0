#include "cm/nn/perceptron.h"

#include <cmath>

namespace cm {
namespace {

constexpr int64_t kFrequencies = 4;

// [B] → [B, 1 + 2 kFrequencies].
Tensor features_of(const Tensor& time) {
  std::vector<Tensor> features = {time};
  for (int64_t k = 0; k < kFrequencies; ++k) {
    const Tensor angle = std::exp2(static_cast<double>(k)) * time;
    features.push_back(angle.cos());
    features.push_back(angle.sin());
  }
  return torch::stack(features, 1);
}

}  // namespace

Perceptron::Perceptron(const PerceptronOptions& options, const ImageSpec& image, std::optional<uint64_t> seed)
    : second_time_(options.second_time) {
  TORCH_CHECK(image.classes == 0, "a perceptron has no classes, got ", image.classes);
  Initializer initializer(seed);
  const int64_t numbers = image.channels * image.size * image.size;
  int64_t in = numbers + (second_time_ ? 2 : 1) * (1 + 2 * kFrequencies);
  for (int64_t i = 0; i <= options.hidden_layers; ++i) {
    const int64_t out = i < options.hidden_layers ? options.width : numbers;
    layers_.emplace_back(register_module(std::to_string(i), Linear(initializer, in, out)));
    in = out;
  }
}

Tensor Perceptron::compute(const Tensor& x, const Conditioning& told, const Tensor& /*dropout_keys*/) {
  const Tensor time = told.time.to(x.dtype());
  std::vector<Tensor> inputs = {x.flatten(1), features_of(time)};
  if (second_time_) inputs.push_back(features_of(time - told.second_time.to(x.dtype())));
  Tensor h = torch::cat(inputs, 1);
  for (size_t i = 0; i + 1 < layers_.size(); ++i) h = activated(layers_[i]->forward(h), Activation::silu);
  return layers_.back()->forward(h).view(x.sizes());
}

}  // namespace cm
