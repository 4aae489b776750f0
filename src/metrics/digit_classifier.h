// The classifier that scripts/train_digit_classifier.py trains; its hidden layer is a feature space for
// digits.
//
//   conv1 3×3 → ReLU → conv2 3×3, stride 2 → ReLU → flatten → hidden → ReLU (the features) → logits
#pragma once

#include "cm/io/safetensors.h"
#include "cm/metrics/features.h"

namespace cm {

class DigitClassifier : public FeatureExtractor {
 public:
  // InputError when the file is no safetensors file, was made by something else, or lacks a tensor.
  DigitClassifier(const std::filesystem::path& file, torch::Device device);

  std::string name() const override { return "digit_classifier"; }
  int64_t width() const override { return weight("hidden.weight").size(0); }
  int64_t classes() const override { return weight("logits.weight").size(0); }
  std::optional<std::filesystem::path> file() const override { return file_; }
  // Images of image_shape().
  Activations operator()(const Tensor& pixels, const Wanted& wanted) const override;

  ImageShape image_shape() const { return shape_; }

 private:
  const Tensor& weight(const std::string& name) const { return weights_.at(name); }

  std::filesystem::path file_;
  torch::Device device_;
  ImageShape shape_;
  NamedTensors weights_;
};

}  // namespace cm
