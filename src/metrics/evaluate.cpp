#include "cm/metrics/evaluate.h"

#include <algorithm>
#include <utility>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/metrics/calibration.h"
#include "cm/metrics/frechet.h"

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
  const auto lowest = samples.labels->min().item<int64_t>();
  const auto highest = samples.labels->max().item<int64_t>();
  if (lowest < 0 || highest >= extractor.classes()) {
    throw InputError(concat(samples.path, ": labels reach from ", lowest, " to ", highest,
                            "; the classifier knows 0 to ", extractor.classes() - 1));
  }
}

double class_accuracy(const Tensor& labels, const Tensor& logits) {
  return (logits.argmax(1) == labels.to(logits.device())).to(torch::kFloat64).mean().item<double>();
}

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

bool is_better(Metric metric, double a, double b) {
  switch (metric) {
    case Metric::frechet:
      return a < b;
    case Metric::precision:
    case Metric::recall:
    case Metric::class_accuracy:
      return a > b;
  }
  throw Error("no such metric");
}

Evaluator::Evaluator(ImageSet reference, const FeatureExtractor& extractor, EvaluationOptions options)
    : reference_(std::move(reference)), extractor_(extractor), options_(std::move(options)) {}

void Evaluator::check(const ImageSet& samples) const {
  if (samples.shape() != reference_.shape()) {
    throw InputError(concat(samples.path, ": images of ", to_string(samples.shape()), ", but the reference ",
                            reference_.path, " has ", to_string(reference_.shape()),
                            "; both must have one shape"));
  }
  for (const ImageSet* images : {&samples, &reference_}) {
    if (asks_for(options_, Metric::frechet)) check_count(*images, 2, "the Fréchet distance");
    if (asks_for(options_, Metric::precision) || asks_for(options_, Metric::recall)) {
      check_count(*images, kNeighbours + 1, concat("precision and recall with k = ", kNeighbours));
    }
  }
  if (asks_for(options_, Metric::class_accuracy)) check_labels(samples, extractor_);
  if (options_.calibrate && !asks_for(options_, Metric::frechet)) {
    throw InputError(
        "the calibration is that of the Fréchet distance; add frechet to the metrics or leave it out");
  }
}

std::vector<Score> Evaluator::evaluate(const ImageSet& samples) {
  check(samples);
  const Activations activations = activations_of(samples.pixels, extractor_, options_.batch_size);
  std::vector<Score> scores;
  double frechet = 0;
  for (const Metric metric : options_.metrics) {
    scores.push_back({to_string(metric), value(metric, samples, activations)});
    if (metric == Metric::frechet) frechet = scores.back().value;
  }
  if (options_.calibrate) {
    for (Score& score : calibration(frechet, samples.size())) scores.push_back(std::move(score));
  }
  return scores;
}

double Evaluator::value(Metric metric, const ImageSet& samples, const Activations& activations) {
  switch (metric) {
    case Metric::frechet:
      return frechet_to_reference(activations.features);
    case Metric::precision:
      if (!manifold_) manifold_ = manifold_of(reference_features(), kNeighbours);
      return share_inside(activations.features, *manifold_);
    case Metric::recall:
      return share_inside(reference_features(), manifold_of(activations.features, kNeighbours));
    case Metric::class_accuracy:
      return class_accuracy(samples.labels.value(), activations.logits.value());
  }
  throw Error("no such metric");
}

std::vector<Score> Evaluator::calibration(double frechet, int64_t samples) {
  const Tensor simple = gaussian_images(reference_.pixels, samples, options_.seed);
  const double gaussian =
      frechet_to_reference(activations_of(simple, extractor_, options_.batch_size).features);
  return {{"frechet_floor", frechet_floor(reference_features(), options_.seed)},
          {"frechet_gaussian", gaussian},
          {"frechet_relative", frechet / gaussian}};
}

double Evaluator::frechet_to_reference(const Tensor& features) {
  if (!moments_) moments_ = moments_of(reference_features());
  return frechet_distance(moments_of(features), *moments_);
}

const Tensor& Evaluator::reference_features() {
  if (!activations_) activations_ = activations_of(reference_.pixels, extractor_, options_.batch_size);
  return activations_->features;
}

std::vector<Score> evaluate(const ImageSet& samples, const ImageSet& reference,
                            const FeatureExtractor& extractor, const EvaluationOptions& options) {
  return Evaluator(reference, extractor, options).evaluate(samples);
}

}  // namespace cm
