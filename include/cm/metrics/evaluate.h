// All metrics of a comparison: sets of samples against one reference, in one feature space.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cm/metrics/features.h"
#include "cm/metrics/image_set.h"
#include "cm/metrics/reference.h"

namespace cm {

class ComparedReference;
struct Metric;

// All metrics by name, each with a phrase.
std::string metrics_help();

// The Fréchet distance by the name that it has in these features: fid or frechet.
std::string distance_metric(const FeatureExtractor& extractor);

// Whether value a of a metric, or of a score that belongs to one (fid_infinity to fid), is better than value
// b: distances are best low, shares and scores high. InputError when there is no metric of this name.
bool is_better(const std::string& score, double a, double b);

struct EvaluationOptions {
  std::vector<std::string> metrics = {"frechet"};
  int64_t batch_size = 256;  // images whose features are computed at once
  // With D the distance_metric, adds D_floor, D_gaussian and D_relative = D / D_gaussian.
  bool calibrate = false;
  // Adds D_infinity: D extrapolated to infinitely many samples (src/metrics/frechet_extrapolation.h).
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
  // The extractor must live as long. InputError when there is no metric of a name, one that needs a reference
  // has none, has another name in these features or isn't defined in them, calibration or extrapolation
  // lacks the distance, or the reference the images or the statistics, in these features, that are needed;
  // when statistics in Inception's features are of images resized by another rule, or by one that is not
  // known.
  Evaluator(std::optional<Reference> reference, const FeatureExtractor& extractor, EvaluationOptions options);
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  // InputError when the sets have other shapes, too few images, or a metric lacks labels or a classifier that
  // knows them.
  void check(const SetHeader& samples) const;

  // What a reader of the scores should know: too few images for features so wide. A sentence each.
  std::vector<std::string> warnings(const SetHeader& samples) const;

  // The scores, in the order of `options.metrics`, calibration and extrapolation last. Checks first. A metric
  // with a deviation (kid's, over its subsets) has it after it, as NAME_deviation.
  std::vector<Score> evaluate(const ImageSet& samples);

  const std::optional<Reference>& reference() const { return reference_; }
  const EvaluationOptions& options() const { return options_; }

  // What evaluate() asks of the features of samples, and the same with their activations at hand.
  const Wanted& wanted() const { return wanted_; }
  std::vector<Score> evaluate(const SetHeader& samples, const Activations& activations);

 private:
  void check_names() const;
  void check_extras() const;
  void check_counts(const SetHeader& images) const;
  void check_reference() const;
  void check_statistics() const;
  void check_resize() const;
  std::vector<Score> calibration(double distance, int64_t samples);

  std::optional<Reference> reference_;
  const FeatureExtractor& extractor_;
  EvaluationOptions options_;
  std::vector<const Metric*> asked_;  // in the table's order
  Wanted wanted_ = {.features = false};
  std::unique_ptr<ComparedReference> compared_;
};

// What a later reference needs of images with these activations: the moments of their features and, where
// there are any, of the spatial ones. InputError, with the images' path, when there are fewer than 2.
ReferenceStatistics statistics_of(const SetHeader& images, const Activations& activations,
                                  const FeatureExtractor& extractor);

}  // namespace cm
