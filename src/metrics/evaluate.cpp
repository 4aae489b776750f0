#include "cm/metrics/evaluate.h"

#include <algorithm>
#include <utility>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/metrics/calibration.h"
#include "cm/metrics/frechet.h"
#include "cm/metrics/inception_score.h"

namespace cm {
namespace {

constexpr int64_t kNeighbours = 3;

// Whether any of `metrics` is asked for.
bool asks_for(const EvaluationOptions& options, std::initializer_list<Metric> metrics) {
  return std::any_of(options.metrics.begin(), options.metrics.end(), [&](Metric asked) {
    return std::find(metrics.begin(), metrics.end(), asked) != metrics.end();
  });
}

Wanted wanted_of_reference(const EvaluationOptions& options) {
  return {.features = asks_for(options, {Metric::frechet, Metric::fid, Metric::precision, Metric::recall}),
          .spatial = asks_for(options, {Metric::sfid})};
}

Wanted wanted_of_samples(const EvaluationOptions& options) {
  Wanted wanted = wanted_of_reference(options);
  wanted.logits = asks_for(options, {Metric::inception_score, Metric::class_accuracy});
  return wanted;
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

// Each metric has one name in each kind of features, and some have none.
void check_names(const EvaluationOptions& options, const FeatureExtractor& extractor) {
  for (const Metric metric : options.metrics) {
    if (extractor.is_inception() && metric == Metric::frechet) {
      throw InputError("metric 'frechet': in Inception features the Fréchet distance is fid; ask for that");
    }
    const bool needs_inception =
        metric == Metric::fid || metric == Metric::sfid || metric == Metric::inception_score;
    if (needs_inception && !extractor.is_inception()) {
      throw InputError(concat("metric '", to_string(metric),
                              "' is defined by Inception features, but these are ", extractor.name(),
                              "; name inception as features, or ask for frechet, precision or recall"));
    }
  }
}

double class_accuracy(const Tensor& labels, const Tensor& logits) {
  return (logits.argmax(1) == labels.to(logits.device())).to(torch::kFloat64).mean().item<double>();
}

}  // namespace

std::vector<Metric> parse_metrics(const std::vector<std::string>& names) {
  std::vector<Metric> metrics;
  for (const auto& name : names) {
    const auto metric = from_name<Metric>(name);
    if (!metric) {
      throw InputError(concat("metric must be one of {", join(all_names<Metric>()), "}, got '", name, "'",
                              did_you_mean(name, all_names<Metric>())));
    }
    metrics.push_back(*metric);
  }
  return metrics;
}

Metric distance_metric(const FeatureExtractor& extractor) {
  return extractor.is_inception() ? Metric::fid : Metric::frechet;
}

bool is_better(Metric metric, double a, double b) {
  switch (metric) {
    case Metric::frechet:
    case Metric::fid:
    case Metric::sfid:
      return a < b;
    case Metric::inception_score:
    case Metric::precision:
    case Metric::recall:
    case Metric::class_accuracy:
      return a > b;
  }
  throw Error("no such metric");
}

Evaluator::Evaluator(ImageSet reference, const FeatureExtractor& extractor, EvaluationOptions options)
    : reference_images_(std::move(reference)), extractor_(extractor), options_(std::move(options)) {}

void Evaluator::check(const ImageSet& samples) const {
  if (samples.shape() != reference_images_.shape()) {
    throw InputError(concat(samples.path, ": images of ", to_string(samples.shape()), ", but the reference ",
                            reference_images_.path, " has ", to_string(reference_images_.shape()),
                            "; both must have one shape"));
  }
  check_names(options_, extractor_);
  for (const ImageSet* images : {&samples, &reference_images_}) {
    if (asks_for(options_, {Metric::frechet, Metric::fid, Metric::sfid})) {
      check_count(*images, 2, "the Fréchet distance");
    }
    if (asks_for(options_, {Metric::precision, Metric::recall})) {
      check_count(*images, kNeighbours + 1, concat("precision and recall with k = ", kNeighbours));
    }
  }
  if (asks_for(options_, {Metric::class_accuracy})) check_labels(samples, extractor_);
  const Metric distance = distance_metric(extractor_);
  if (options_.calibrate && !asks_for(options_, {distance})) {
    throw InputError(concat("the calibration is that of the Fréchet distance; add ", to_string(distance),
                            " to the metrics or leave it out"));
  }
}

std::vector<Score> Evaluator::evaluate(const ImageSet& samples) {
  check(samples);
  const Activations activations =
      activations_of(samples.pixels, extractor_, wanted_of_samples(options_), options_.batch_size);
  std::vector<Score> scores;
  double distance = 0;
  for (const Metric metric : options_.metrics) {
    scores.push_back({to_string(metric), value(metric, samples, activations)});
    if (metric == distance_metric(extractor_)) distance = scores.back().value;
  }
  if (options_.calibrate) {
    for (Score& score : calibration(distance, samples.size())) scores.push_back(std::move(score));
  }
  return scores;
}

double Evaluator::value(Metric metric, const ImageSet& samples, const Activations& activations) {
  switch (metric) {
    case Metric::frechet:
    case Metric::fid:
      return distance_to_reference(activations.features);
    case Metric::sfid:
      return spatial_distance_to_reference(activations.spatial.value());
    case Metric::inception_score:
      return inception_score(activations.logits.value().to(torch::kFloat64).softmax(1));
    case Metric::precision:
      if (!manifold_) manifold_ = manifold_of(reference().features, kNeighbours);
      return share_inside(activations.features, *manifold_);
    case Metric::recall:
      return share_inside(reference().features, manifold_of(activations.features, kNeighbours));
    case Metric::class_accuracy:
      return class_accuracy(samples.labels.value(), activations.logits.value());
  }
  throw Error("no such metric");
}

std::vector<Score> Evaluator::calibration(double distance, int64_t samples) {
  const std::string name = to_string(distance_metric(extractor_));
  const Tensor simple = gaussian_images(reference_images_.pixels, samples, options_.seed);
  const double gaussian =
      distance_to_reference(activations_of(simple, extractor_, {}, options_.batch_size).features);
  return {{name + "_floor", frechet_floor(reference().features, options_.seed)},
          {name + "_gaussian", gaussian},
          {name + "_relative", distance / gaussian}};
}

double Evaluator::distance_to_reference(const Tensor& features) {
  if (!moments_) moments_ = moments_of(reference().features);
  return frechet_distance(moments_of(features), *moments_);
}

double Evaluator::spatial_distance_to_reference(const Tensor& spatial) {
  if (!spatial_moments_) spatial_moments_ = moments_of(reference().spatial.value());
  return frechet_distance(moments_of(spatial), *spatial_moments_);
}

const Activations& Evaluator::reference() {
  if (!activations_) {
    activations_ = activations_of(reference_images_.pixels, extractor_, wanted_of_reference(options_),
                                  options_.batch_size);
  }
  return *activations_;
}

std::vector<Score> evaluate(const ImageSet& samples, const ImageSet& reference,
                            const FeatureExtractor& extractor, const EvaluationOptions& options) {
  return Evaluator(reference, extractor, options).evaluate(samples);
}

}  // namespace cm
