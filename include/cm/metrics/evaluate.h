// All metrics of one comparison: samples against a reference, in one feature space.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "cm/base/fields.h"
#include "cm/metrics/features.h"
#include "cm/metrics/image_set.h"

namespace cm {

enum class Metric { frechet, precision, recall, class_accuracy };
template <>
struct EnumNames<Metric> {
  static constexpr std::array names = {
      EnumName{Metric::frechet, "frechet"}, EnumName{Metric::precision, "precision"},
      EnumName{Metric::recall, "recall"}, EnumName{Metric::class_accuracy, "class_accuracy"}};
};

// InputError for a name that is none of them; one that is meant for Inception features is told so.
std::vector<Metric> parse_metrics(const std::vector<std::string>& names);

struct EvaluationOptions {
  std::vector<Metric> metrics = {Metric::frechet};
  int64_t batch_size = 256;  // images whose features are computed at once
  bool calibrate =
      false;  // adds frechet_floor, frechet_gaussian and frechet_relative = frechet / frechet_gaussian
  uint64_t seed = 0;  // of the calibration's draws
};

struct Score {
  std::string name;
  double value = 0;
};

// The scores, in the order of `options.metrics`, the calibration last.
//   frechet         squared Fréchet distance between Gaussians fitted to the features (cm/metrics/frechet.h)
//   precision, recall   k = 3 (cm/metrics/precision_recall.h)
//   class_accuracy  share of samples that the classifier gives the class of their label
// InputError when the sets have other shapes, too few images, or class_accuracy lacks labels or a classifier,
// or calibration the metric frechet.
std::vector<Score> evaluate(const ImageSet& samples, const ImageSet& reference,
                            const FeatureExtractor& extractor, const EvaluationOptions& options);

}  // namespace cm
