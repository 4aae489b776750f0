#include "cm/metrics/evaluate.h"

#include <algorithm>
#include <utility>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/metrics/calibration.h"
#include "cm/metrics/frechet_extrapolation.h"
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
  return {.features = asks_for(
              options, {Metric::frechet, Metric::fid, Metric::kid, Metric::precision, Metric::recall}),
          .spatial = asks_for(options, {Metric::sfid})};
}

Wanted wanted_of_samples(const EvaluationOptions& options) {
  Wanted wanted = wanted_of_reference(options);
  wanted.logits = asks_for(options, {Metric::inception_score, Metric::class_accuracy});
  return wanted;
}

void check_count(const SetHeader& images, int64_t needed, const std::string& what) {
  if (images.count < needed) {
    throw InputError(
        concat(images.path, ": ", images.count, " image(s), but ", what, " needs at least ", needed));
  }
}

void check_labels(const SetHeader& samples, const FeatureExtractor& extractor) {
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

void check_counts(const EvaluationOptions& options, const SetHeader& images) {
  if (asks_for(options, {Metric::frechet, Metric::fid, Metric::sfid}))
    check_count(images, 2, "the Fréchet distance");
  if (asks_for(options, {Metric::kid})) check_count(images, 2, "the kernel distance");
  if (asks_for(options, {Metric::precision, Metric::recall})) {
    check_count(images, kNeighbours + 1, concat("precision and recall with k = ", kNeighbours));
  }
}

// The Inception Score and the class accuracy look at the samples alone.
void check_without_reference(const EvaluationOptions& options) {
  for (const Metric metric : options.metrics) {
    if (metric == Metric::inception_score || metric == Metric::class_accuracy) continue;
    throw InputError(concat("--reference is required: what the samples are compared with by ",
                            to_string(metric), "; only is and class_accuracy need none"));
  }
}

// Calibration and extrapolation are those of the Fréchet distance.
void check_extras(const EvaluationOptions& options, const FeatureExtractor& extractor) {
  const Metric distance = distance_metric(extractor);
  if (asks_for(options, {distance})) return;
  if (options.calibrate || options.extrapolate) {
    throw InputError(concat("the ", options.calibrate ? "calibration" : "extrapolation",
                            " is that of the Fréchet distance; add ", to_string(distance),
                            " to the metrics or leave it out"));
  }
}

// The rule by which the images of these statistics got Inception's size, where it is known.
std::optional<std::string> resize_of(const ReferenceStatistics& statistics) {
  if (statistics.identity.empty()) {
    return statistics.spatial ? std::optional(to_string(InceptionResize::tensorflow)) : std::nullopt;
  }
  const Json identity = Json::parse(statistics.identity, nullptr, /*allow_exceptions=*/false);
  if (!identity.is_object() || !identity.contains(kResizeDetail)) return std::nullopt;
  const Json& rule = identity.at(kResizeDetail);
  return rule.is_string() ? std::optional(rule.get<std::string>()) : std::nullopt;
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
    case Metric::kid:
      return a < b;
    case Metric::inception_score:
    case Metric::precision:
    case Metric::recall:
    case Metric::class_accuracy:
      return a > b;
  }
  throw Error("no such metric");
}

Evaluator::Evaluator(std::optional<Reference> reference, const FeatureExtractor& extractor,
                     EvaluationOptions options)
    : reference_(std::move(reference)), extractor_(extractor), options_(std::move(options)) {
  check_names(options_, extractor_);
  check_extras(options_, extractor_);
  check_reference();
}

void Evaluator::check_reference() const {
  if (!reference_) {
    check_without_reference(options_);
    return;
  }
  if (reference_->images) {
    check_counts(options_, reference_->images->header());
  } else if (options_.calibrate || asks_for(options_, {Metric::kid, Metric::precision, Metric::recall})) {
    throw InputError(concat(reference_->path, ": holds statistics and no images (arr_0), but ",
                            options_.calibrate ? "the calibration" : "kid, precision and recall",
                            " need the reference's images; name them as reference, or leave it out"));
  }
  if (asks_for(options_, {Metric::frechet, Metric::fid, Metric::sfid})) check_statistics();
}

void Evaluator::check(const SetHeader& samples) const {
  if (reference_ && reference_->images && samples.shape != reference_->images->shape()) {
    throw InputError(concat(samples.path, ": images of ", to_string(samples.shape), ", but the reference ",
                            reference_->path, " has ", to_string(reference_->images->shape()),
                            "; both must have one shape"));
  }
  check_counts(options_, samples);
  if (asks_for(options_, {Metric::class_accuracy})) check_labels(samples, extractor_);
}

// Refuses statistics of images that Inception was shown by another rule, or by one that nobody names.
void Evaluator::check_resize() const {
  const std::string rule = extractor_.details().at(kResizeDetail);
  const auto theirs = resize_of(*reference_->statistics);
  if (theirs && *theirs != rule) {
    throw InputError(
        concat(reference_->path, ": the statistics are of images resized as ", *theirs,
               reference_->statistics->identity.empty() ? " (mu_s is the official evaluator's)" : "",
               ", not as ", rule, "; give --resize ", *theirs, ", or the reference's images themselves"));
  }
  if (theirs || options_.resize_named || !reference_->statistics->identity.empty()) return;
  throw InputError(
      concat(reference_->path,
             ": these statistics do not say how their images were resized, and FIDs by different "
             "rules can't be compared; say so with --resize: pytorch for pytorch-fid's, clean for "
             "clean-fid's, tensorflow for those of TensorFlow's own graph"));
}

// Statistics count only in the features that they were computed in.
void Evaluator::check_statistics() const {
  if (!reference_->statistics) return;
  const ReferenceStatistics& statistics = *reference_->statistics;
  const auto refuse = [&](const std::string& what) {
    throw InputError(concat(reference_->path, ": ", what,
                            "; compute them again in these features: cm-evaluate --samples "
                            "THE-REFERENCE'S-IMAGES --save-stats FILE"));
  };
  const std::string identity = feature_identity(extractor_);
  if (statistics.identity.empty() && !extractor_.is_inception()) {
    refuse(
        concat("these statistics do not say their features, so they are taken for Inception's, but the "
               "features are ",
               extractor_.name()));
  }
  if (extractor_.is_inception()) check_resize();
  if (!statistics.identity.empty() && statistics.identity != identity) {
    refuse(concat("the statistics are of the features ", statistics.identity, ", not of ", identity));
  }
  if (statistics.features.mean.size(0) != extractor_.width()) {
    refuse(concat("the statistics are ", statistics.features.mean.size(0), " wide, the features ",
                  extractor_.width()));
  }
  if (asks_for(options_, {Metric::sfid}) && !statistics.spatial)
    refuse("has no mu_s and sigma_s, which sfid needs");
}

std::vector<std::string> Evaluator::warnings(const SetHeader& samples) const {
  std::vector<std::string> found;
  if (!asks_for(options_, {distance_metric(extractor_)})) return found;
  const auto look = [&](const std::string& whose, int64_t count) {
    if (count > extractor_.width()) return;
    found.push_back(concat(count, " ", whose, " for features ", extractor_.width(),
                           " wide: their covariance is singular and the distance too high; take more, or ask "
                           "for kid or the extrapolation, which are not biased by the number of samples"));
  };
  look("samples", samples.count);
  if (!reference_->statistics) look("reference images", reference_images().size());
  return found;
}

Wanted Evaluator::wanted() const {
  return wanted_of_samples(options_);
}

std::vector<Score> Evaluator::evaluate(const ImageSet& samples) {
  check(samples.header());
  return evaluate(samples.header(),
                  activations_of(samples.pixels, extractor_, wanted(), options_.batch_size));
}

std::vector<Score> Evaluator::evaluate(const SetHeader& samples, const Activations& activations) {
  check(samples);
  std::vector<Score> scores;
  double distance = 0;
  for (const Metric metric : options_.metrics) {
    for (Score& score : scores_of(metric, samples, activations)) scores.push_back(std::move(score));
    if (metric == distance_metric(extractor_)) distance = scores.back().value;
  }
  if (options_.calibrate) {
    for (Score& score : calibration(distance, samples.count)) scores.push_back(std::move(score));
  }
  if (options_.extrapolate) {
    scores.push_back({concat(to_string(distance_metric(extractor_)), "_infinity"),
                      extrapolated_frechet(activations.features, reference_moments(), options_.seed)});
  }
  return scores;
}

std::vector<Score> Evaluator::scores_of(Metric metric, const SetHeader& samples,
                                        const Activations& activations) {
  const auto one = [&](double value) { return std::vector<Score>{{to_string(metric), value}}; };
  switch (metric) {
    case Metric::frechet:
    case Metric::fid:
      return one(distance_to_reference(activations.features));
    case Metric::sfid:
      return one(spatial_distance_to_reference(activations.spatial.value()));
    case Metric::inception_score:
      return one(inception_score(activations.logits.value().to(torch::kFloat64).softmax(1)));
    case Metric::kid: {
      const auto distance =
          kernel_distance(activations.features, reference_activations().features, {.seed = options_.seed});
      return {{"kid", distance.mean}, {"kid_deviation", distance.deviation}};
    }
    case Metric::precision:
      if (!manifold_) manifold_ = manifold_of(reference_activations().features, kNeighbours);
      return one(share_inside(activations.features, *manifold_));
    case Metric::recall:
      return one(
          share_inside(reference_activations().features, manifold_of(activations.features, kNeighbours)));
    case Metric::class_accuracy:
      return one(class_accuracy(samples.labels.value(), activations.logits.value()));
  }
  throw Error("no such metric");
}

std::vector<Score> Evaluator::calibration(double distance, int64_t samples) {
  const std::string name = to_string(distance_metric(extractor_));
  const Tensor simple = gaussian_images(reference_images().pixels, samples, options_.seed);
  const double gaussian =
      distance_to_reference(activations_of(simple, extractor_, {}, options_.batch_size).features);
  return {{name + "_floor", frechet_floor(reference_activations().features, options_.seed)},
          {name + "_gaussian", gaussian},
          {name + "_relative", distance / gaussian}};
}

const ImageSet& Evaluator::reference_images() const {
  return reference_.value().images.value();
}

const RootedMoments& Evaluator::reference_moments() {
  if (!moments_) {
    const auto& statistics = reference_.value().statistics;
    moments_ = rooted(statistics ? statistics->features : moments_of(reference_activations().features));
  }
  return *moments_;
}

double Evaluator::distance_to_reference(const Tensor& features) {
  return frechet_distance(moments_of(features), reference_moments());
}

double Evaluator::spatial_distance_to_reference(const Tensor& spatial) {
  if (!spatial_moments_) {
    const auto& statistics = reference_.value().statistics;
    spatial_moments_ = rooted(statistics ? statistics->spatial.value()
                                         : moments_of(reference_activations().spatial.value()));
  }
  return frechet_distance(moments_of(spatial), *spatial_moments_);
}

const Activations& Evaluator::reference_activations() {
  if (!activations_) {
    activations_ = activations_of(reference_images().pixels, extractor_, wanted_of_reference(options_),
                                  options_.batch_size);
  }
  return *activations_;
}

std::vector<Score> evaluate(const ImageSet& samples, const std::optional<Reference>& reference,
                            const FeatureExtractor& extractor, const EvaluationOptions& options) {
  return Evaluator(reference, extractor, options).evaluate(samples);
}

ReferenceStatistics statistics_of(const SetHeader& images, const Activations& activations,
                                  const FeatureExtractor& extractor) {
  check_count(images, 2, "statistics");
  ReferenceStatistics statistics{.features = moments_of(activations.features),
                                 .spatial = std::nullopt,
                                 .identity = feature_identity(extractor)};
  if (activations.spatial) statistics.spatial = moments_of(*activations.spatial);
  return statistics;
}

}  // namespace cm
