#include "cm/metrics/features.h"

#include <utility>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/io/image.h"
#include "cm/metrics/digit_classifier.h"

namespace cm {

Activations PixelFeatures::operator()(const Tensor& pixels) const {
  TORCH_CHECK(pixels.dim() == 4 && pixels[0].numel() == width(), "expected images of ", to_string(shape_),
              ", got ", pixels.sizes());
  return {.features = from_uint8(pixels.to(device_)).flatten(1), .logits = std::nullopt};
}

std::unique_ptr<FeatureExtractor> make_features(const std::string& which, const ImageShape& shape,
                                                torch::Device device) {
  if (which == "pixels") return std::make_unique<PixelFeatures>(shape, device);
  if (which == "inception") {
    throw InputError("features 'inception' are not part of this version; use pixels or a classifier file");
  }
  if (!std::filesystem::exists(which)) {
    throw InputError(concat("features '", which, "' are neither pixels nor a file that exists",
                            did_you_mean(which, {"pixels"})));
  }
  auto classifier = std::make_unique<DigitClassifier>(which, device);
  if (classifier->image_shape() != shape) {
    throw InputError(concat(which, ": this classifier takes images of ", to_string(classifier->image_shape()),
                            ", but these are ", to_string(shape), "; use features that fit, or pixels"));
  }
  return classifier;
}

Activations activations_of(const Tensor& pixels, const FeatureExtractor& extractor, int64_t batch_size) {
  std::vector<Tensor> features;
  std::vector<Tensor> logits;
  for (const Tensor& batch : pixels.split(batch_size)) {
    Activations activations = extractor(batch);
    features.push_back(std::move(activations.features));
    if (activations.logits) logits.push_back(std::move(*activations.logits));
  }
  Activations all{.features = torch::cat(features), .logits = std::nullopt};
  if (!logits.empty()) all.logits = torch::cat(logits);
  if (!torch::isfinite(all.features).all().item<bool>()) {
    const std::string source = extractor.file() ? extractor.file()->string() : extractor.name();
    throw InputError(concat(source, ": gives features that are NaN or infinite; check its weights"));
  }
  return all;
}

}  // namespace cm
