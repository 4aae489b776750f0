// What the tests of an Evaluator measure: images of known draws, and features that stand in for Inception's.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cm/base/random.h"
#include "cm/io/image.h"
#include "cm/kernels/normal.h"
#include "cm/metrics/evaluate.h"
#include "metrics/classifier_file.h"

namespace cm::test {

inline ImageSet images(const std::string& path, int64_t count, uint64_t seed,
                       const ImageShape& shape = kTiny) {
  const Tensor x =
      normal({.seed = seed}, sample_range(0, count), {shape.channels, shape.height, shape.width});
  return {.path = path, .pixels = to_uint8(x * 0.3), .labels = std::nullopt};
}

// The scores of one set of samples.
inline std::vector<Score> evaluate(const ImageSet& samples, const std::optional<Reference>& reference,
                                   const FeatureExtractor& extractor, const EvaluationOptions& options) {
  return Evaluator(reference, extractor, options).evaluate(samples);
}

inline std::map<std::string, double> scores_of(const ImageSet& samples, const ImageSet& reference,
                                               const FeatureExtractor& extractor,
                                               const EvaluationOptions& options) {
  std::map<std::string, double> scores;
  for (const auto& [name, value] : evaluate(samples, reference_of(reference), extractor, options))
    scores[name] = value;
  return scores;
}

// Stands in for Inception: pixels as features, three times those as spatial features, and as logits.
class PixelInception : public PixelFeatures {
 public:
  using PixelFeatures::PixelFeatures;
  bool is_inception() const override { return true; }
  Details details() const override { return {{kResizeDetail, "tensorflow"}}; }
  int64_t classes() const override { return width(); }
  Activations operator()(const Tensor& pixels, const Wanted& wanted) const override {
    asked_.push_back(wanted);
    Activations all = PixelFeatures::operator()(pixels, wanted);
    const Tensor x = all.features;
    if (!wanted.features) all.features = Tensor();
    if (wanted.spatial) all.spatial = 3 * x;
    if (wanted.logits) all.logits = 3 * x;
    return all;
  }
  const std::vector<Wanted>& asked() const { return asked_; }

 private:
  mutable std::vector<Wanted> asked_;
};

inline ReferenceStatistics image_statistics(const FeatureExtractor& features, const ImageSet& images,
                                            int64_t batch) {
  return statistics_of(images.header(), activations_of(images.pixels, features, {.spatial = true}, batch),
                       features);
}

}  // namespace cm::test
