// Feature spaces: what an image looks like to a metric.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "cm/base/tensor.h"
#include "cm/metrics/image_set.h"

namespace cm {

struct Activations {
  Tensor features;               // fp32 [N, width]
  std::optional<Tensor> logits;  // fp32 [N, classes], from a classifier
};

class FeatureExtractor {
 public:
  virtual ~FeatureExtractor() = default;
  // Printed with every number: distances in different features can't be compared.
  virtual std::string name() const = 0;
  virtual int64_t width() const = 0;
  // Number of classes of its logits; 0 where it has none.
  virtual int64_t classes() const { return 0; }
  // The file that it was read from, if any.
  virtual std::optional<std::filesystem::path> file() const { return std::nullopt; }
  // uint8 [N, C, H, W] on any device → activations on the extractor's device.
  virtual Activations operator()(const Tensor& pixels) const = 0;
};

// The pixels themselves, flattened in (c, h, w) order and scaled to [−1, 1] as the models see them.
class PixelFeatures : public FeatureExtractor {
 public:
  PixelFeatures(const ImageShape& shape, torch::Device device) : shape_(shape), device_(device) {}
  std::string name() const override { return "pixels"; }
  int64_t width() const override { return shape_.values(); }
  Activations operator()(const Tensor& pixels) const override;

 private:
  ImageShape shape_;
  torch::Device device_;
};

// `which` is "pixels" or the path of a classifier file (cm/metrics/digit_classifier.h). InputError for
// anything else, and for a classifier of other images than `shape`.
std::unique_ptr<FeatureExtractor> make_features(const std::string& which, const ImageShape& shape,
                                                torch::Device device);

// The activations of all images, `batch_size` ≥ 1 at a time. InputError when a feature isn't finite.
Activations activations_of(const Tensor& pixels, const FeatureExtractor& extractor, int64_t batch_size);

}  // namespace cm
