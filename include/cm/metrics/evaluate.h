// All metrics of a comparison: sets of samples against one reference, in one feature space.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cm/base/fields.h"
#include "cm/metrics/features.h"
#include "cm/metrics/image_set.h"
#include "cm/metrics/precision_recall.h"
#include "cm/metrics/statistics.h"

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

// Whether value a of the metric is better than value b: distances are best low, shares high.
bool is_better(Metric metric, double a, double b);

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

// Compares sets of samples with one reference, whose activations and what follows from them are computed
// once, when the first score needs them.
class Evaluator {
 public:
  // The extractor must live as long.
  Evaluator(ImageSet reference, const FeatureExtractor& extractor, EvaluationOptions options);

  // InputError when the sets have other shapes, too few images, or class_accuracy lacks labels or a
  // classifier that knows them, or calibration the metric frechet. Looks at no pixel.
  void check(const ImageSet& samples) const;

  // The scores, in the order of `options.metrics`, the calibration last. Checks first.
  //   frechet         squared Fréchet distance between Gaussians fitted to the features
  //                   (cm/metrics/frechet.h)
  //   precision, recall   k = 3 (cm/metrics/precision_recall.h)
  //   class_accuracy  share of samples that the classifier gives the class of their label
  std::vector<Score> evaluate(const ImageSet& samples);

 private:
  double value(Metric metric, const ImageSet& samples, const Activations& activations);
  std::vector<Score> calibration(double frechet, int64_t samples);
  double frechet_to_reference(const Tensor& features);
  const Tensor& reference_features();

  ImageSet reference_;
  const FeatureExtractor& extractor_;
  EvaluationOptions options_;
  std::optional<Activations> activations_;
  std::optional<GaussianMoments> moments_;
  std::optional<Manifold> manifold_;
};

// The scores of one set of samples.
std::vector<Score> evaluate(const ImageSet& samples, const ImageSet& reference,
                            const FeatureExtractor& extractor, const EvaluationOptions& options);

}  // namespace cm
