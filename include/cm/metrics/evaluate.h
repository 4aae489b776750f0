// All metrics of a comparison: sets of samples against one reference, in one feature space.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cm/base/fields.h"
#include "cm/metrics/features.h"
#include "cm/metrics/frechet.h"
#include "cm/metrics/image_set.h"
#include "cm/metrics/kernel_distance.h"
#include "cm/metrics/precision_recall.h"
#include "cm/metrics/reference.h"

namespace cm {

// fid, sfid and is are defined by Inception's features and computed in no others. The Fréchet distance in all
// others is called frechet, for such numbers can't be compared with a FID.
enum class Metric { frechet, fid, sfid, inception_score, kid, precision, recall, class_accuracy };
template <>
struct EnumNames<Metric> {
  static constexpr std::array names = {
      EnumName{Metric::frechet, "frechet"}, EnumName{Metric::fid, "fid"},
      EnumName{Metric::sfid, "sfid"},       EnumName{Metric::inception_score, "is"},
      EnumName{Metric::kid, "kid"},         EnumName{Metric::precision, "precision"},
      EnumName{Metric::recall, "recall"},   EnumName{Metric::class_accuracy, "class_accuracy"}};
};

// InputError for a name that is none of them.
std::vector<Metric> parse_metrics(const std::vector<std::string>& names);

// The Fréchet distance by the name that it has in these features: fid or frechet.
Metric distance_metric(const FeatureExtractor& extractor);

// Whether value a of the metric is better than value b: distances are best low, shares and scores high.
bool is_better(Metric metric, double a, double b);

struct EvaluationOptions {
  std::vector<Metric> metrics = {Metric::frechet};
  int64_t batch_size = 256;  // images whose features are computed at once
  // With D the distance_metric, adds D_floor, D_gaussian and D_relative = D / D_gaussian.
  bool calibrate = false;
  // Adds D_infinity: D extrapolated to infinitely many samples (cm/metrics/frechet_extrapolation.h).
  bool extrapolate = false;
  uint64_t seed = 0;  // of the draws of kid, calibration and extrapolation
  // Whether the user named the rule by which Inception's images are resized, which vouches for statistics
  // that don't tell theirs.
  bool resize_named = false;
};

struct Score {
  std::string name;
  double value = 0;
};

// Compares sets of samples with one reference, whose activations and what follows from them are computed
// once, when the first score needs them.
class Evaluator {
 public:
  // The extractor must live as long. is and class_accuracy need no reference. InputError when a metric that
  // does has none, has another name in these features or isn't defined in them, calibration or extrapolation
  // lacks the distance, or the reference the images or the statistics, in these features, that are needed;
  // when statistics in Inception's features are of images resized by another rule, or by one that is not
  // known.
  Evaluator(std::optional<Reference> reference, const FeatureExtractor& extractor, EvaluationOptions options);

  // InputError when the sets have other shapes, too few images, or class_accuracy lacks labels or a
  // classifier that knows them.
  void check(const SetHeader& samples) const;

  // What a reader of the scores should know: too few images for features so wide. A sentence each.
  std::vector<std::string> warnings(const SetHeader& samples) const;

  // The scores, in the order of `options.metrics`, calibration and extrapolation last. Checks first.
  //   frechet, fid    squared Fréchet distance between Gaussians fitted to the features
  //                   (cm/metrics/frechet.h)
  //   sfid            the same of Inception's spatial features (Nash et al. 2021, arXiv 2103.03841)
  //   is              of the samples alone, in chunks of 5,000 (cm/metrics/inception_score.h)
  //   kid             with its standard deviation over subsets after it, kid_deviation
  //                   (cm/metrics/kernel_distance.h); of Inception's features in the literature
  //   precision, recall   k = 3 (cm/metrics/precision_recall.h)
  //   class_accuracy  share of samples that the classifier gives the class of their label
  std::vector<Score> evaluate(const ImageSet& samples);

  const std::optional<Reference>& reference() const { return reference_; }
  const EvaluationOptions& options() const { return options_; }

  // What evaluate() asks of the features of samples, and the same with their activations at hand.
  Wanted wanted() const;
  std::vector<Score> evaluate(const SetHeader& samples, const Activations& activations);

 private:
  std::vector<Score> scores_of(Metric metric, const SetHeader& samples, const Activations& activations);
  const ImageSet& reference_images() const;
  void check_reference() const;
  void check_statistics() const;
  void check_resize() const;
  std::vector<Score> calibration(double distance, int64_t samples);
  double distance_to_reference(const Tensor& features);
  double spatial_distance_to_reference(const Tensor& spatial);
  const Activations& reference_activations();
  const RootedMoments& reference_moments();

  std::optional<Reference> reference_;
  const FeatureExtractor& extractor_;
  EvaluationOptions options_;
  std::optional<Activations> activations_;
  std::optional<RootedMoments> moments_;
  std::optional<RootedMoments> spatial_moments_;
  std::optional<Manifold> manifold_;
};

// The scores of one set of samples.
std::vector<Score> evaluate(const ImageSet& samples, const std::optional<Reference>& reference,
                            const FeatureExtractor& extractor, const EvaluationOptions& options);

// What a later reference needs of images with these activations: the moments of their features and, where
// there are any, of the spatial ones. InputError, with the images' path, when there are fewer than 2.
ReferenceStatistics statistics_of(const SetHeader& images, const Activations& activations,
                                  const FeatureExtractor& extractor);

}  // namespace cm
