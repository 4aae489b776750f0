#include "cm/metrics/evaluate.h"

#include <algorithm>
#include <optional>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/metrics/calibration.h"
#include "cm/metrics/frechet.h"
#include "cm/metrics/precision_recall.h"

namespace cm {
namespace {

constexpr int64_t kNeighbours = 3;
constexpr std::array kInceptionMetrics = {"fid", "sfid", "is", "kid"};

bool asks_for(const EvaluationOptions& options, Metric metric) {
  return std::find(options.metrics.begin(), options.metrics.end(), metric) != options.metrics.end();
}

void check_count(const ImageSet& images, int64_t needed, const std::string& what) {
  if (images.size() < needed) {
    throw InputError(
        concat(images.path, ": ", images.size(), " image(s), but ", what, " needs at least ", needed));
  }
}

void check_labels(const ImageSet& samples, const FeatureExtractor& extractor) {
  if (!samples.labels) {
    throw InputError(concat(samples.path,
                            ": class_accuracy needs the labels that were sampled, arr_1 of an .npz; "
                            "this set has none"));
  }
  if (extractor.classes() == 0) {
    throw InputError(concat("class_accuracy needs a classifier, but the features are ", extractor.name(),
                            "; name a classifier file as features"));
  }
}

void check(const ImageSet& samples, const ImageSet& reference, const FeatureExtractor& extractor,
           const EvaluationOptions& options) {
  if (samples.shape() != reference.shape()) {
    throw InputError(concat(samples.path, ": images of ", to_string(samples.shape()), ", but the reference ",
                            reference.path, " has ", to_string(reference.shape()),
                            "; both must have one shape"));
  }
  for (const ImageSet* images : {&samples, &reference}) {
    if (asks_for(options, Metric::frechet)) check_count(*images, 2, "the Fréchet distance");
    if (asks_for(options, Metric::precision) || asks_for(options, Metric::recall)) {
      check_count(*images, kNeighbours + 1, concat("precision and recall with k = ", kNeighbours));
    }
  }
  if (asks_for(options, Metric::class_accuracy)) check_labels(samples, extractor);
  if (options.calibrate && !asks_for(options, Metric::frechet)) {
    throw InputError(
        "the calibration is that of the Fréchet distance; add frechet to the metrics or leave it out");
  }
}

double class_accuracy(const ImageSet& samples, const Activations& activations) {
  const Tensor& logits = activations.logits.value();
  const Tensor labels = samples.labels->to(logits.device());
  const int64_t classes = logits.size(1);
  if (labels.min().item<int64_t>() < 0 || labels.max().item<int64_t>() >= classes) {
    throw InputError(concat(samples.path, ": labels reach from ", labels.min().item<int64_t>(), " to ",
                            labels.max().item<int64_t>(), "; the classifier knows 0 to ", classes - 1));
  }
  return (logits.argmax(1) == labels).to(torch::kFloat64).mean().item<double>();
}

// The activations of both sets, and what follows from them: what several scores share is computed once.
class Comparison {
 public:
  Comparison(const ImageSet& samples, const ImageSet& reference, const FeatureExtractor& extractor,
             const EvaluationOptions& options)
      : samples_(samples),
        reference_(reference),
        extractor_(extractor),
        options_(options),
        of_samples_(activations_of(samples.pixels, extractor, options.batch_size)),
        of_reference_(activations_of(reference.pixels, extractor, options.batch_size)) {}

  double value(Metric metric) {
    switch (metric) {
      case Metric::frechet:
        return frechet_to_reference(of_samples_.features);
      case Metric::precision:
        return manifolds().precision;
      case Metric::recall:
        return manifolds().recall;
      case Metric::class_accuracy:
        return class_accuracy(samples_, of_samples_);
    }
    throw Error("no such metric");
  }

  std::vector<Score> calibration() {
    const Tensor simple = gaussian_images(reference_.pixels, samples_.size(), options_.seed);
    const double gaussian =
        frechet_to_reference(activations_of(simple, extractor_, options_.batch_size).features);
    return {{"frechet_floor", frechet_floor(of_reference_.features, options_.seed)},
            {"frechet_gaussian", gaussian},
            {"frechet_relative", value(Metric::frechet) / gaussian}};
  }

 private:
  double frechet_to_reference(const Tensor& features) {
    if (!reference_moments_) reference_moments_ = moments_of(of_reference_.features);
    return frechet_distance(moments_of(features), *reference_moments_);
  }

  const PrecisionRecall& manifolds() {
    if (!manifolds_) manifolds_ = precision_recall(of_samples_.features, of_reference_.features, kNeighbours);
    return *manifolds_;
  }

  const ImageSet& samples_;
  const ImageSet& reference_;
  const FeatureExtractor& extractor_;
  const EvaluationOptions& options_;
  Activations of_samples_;
  Activations of_reference_;
  std::optional<GaussianMoments> reference_moments_;
  std::optional<PrecisionRecall> manifolds_;
};

}  // namespace

std::vector<Metric> parse_metrics(const std::vector<std::string>& names) {
  std::vector<Metric> metrics;
  for (const auto& name : names) {
    if (std::find(kInceptionMetrics.begin(), kInceptionMetrics.end(), name) != kInceptionMetrics.end()) {
      throw InputError(concat("metric '", name,
                              "' needs Inception features, which this version doesn't have; use ",
                              join(all_names<Metric>())));
    }
    const auto metric = from_name<Metric>(name);
    if (!metric) {
      throw InputError(concat("metric must be one of {", join(all_names<Metric>()), "}, got '", name, "'",
                              did_you_mean(name, all_names<Metric>())));
    }
    metrics.push_back(*metric);
  }
  return metrics;
}

std::vector<Score> evaluate(const ImageSet& samples, const ImageSet& reference,
                            const FeatureExtractor& extractor, const EvaluationOptions& options) {
  check(samples, reference, extractor, options);
  Comparison comparison(samples, reference, extractor, options);
  std::vector<Score> scores;
  for (const Metric metric : options.metrics) scores.push_back({to_string(metric), comparison.value(metric)});
  if (options.calibrate) {
    for (Score& score : comparison.calibration()) scores.push_back(std::move(score));
  }
  return scores;
}

}  // namespace cm
