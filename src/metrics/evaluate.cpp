#include "cm/metrics/evaluate.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "calibration.h"
#include "cm/base/error.h"
#include "cm/base/text.h"
#include "frechet_extrapolation.h"
#include "metric.h"

namespace cm {
namespace {

void operator|=(Wanted& all, const Wanted& more) {
  all = {all.features || more.features, all.spatial || more.spatial, all.logits || more.logits};
}

bool needs_no_reference(const Metric& metric) {
  return metric.with == ComparedWith::nothing;
}
bool needs_images(const Metric& metric) {
  return metric.with == ComparedWith::images;
}

void check_count(const SetHeader& images, int64_t needed, std::string_view what) {
  if (images.count < needed) {
    throw InputError(
        concat(images.path, ": ", images.count, " image(s), but ", what, " needs at least ", needed));
  }
}

void check_labels(const SetHeader& samples, const Metric& metric, const FeatureExtractor& extractor) {
  if (!samples.labels) {
    throw InputError(concat(samples.path, ": ", metric.name,
                            " needs the labels that were sampled, arr_1 of an .npz; this set has none"));
  }
  if (extractor.classes() == 0) {
    throw InputError(concat(metric.name, " needs a classifier, but the features are ", extractor.name(),
                            "; name a classifier file as features"));
  }
  const auto lowest = samples.labels->min().item<int64_t>();
  const auto highest = samples.labels->max().item<int64_t>();
  if (lowest < 0 || highest >= extractor.classes()) {
    throw InputError(concat(samples.path, ": labels reach from ", lowest, " to ", highest,
                            "; the classifier knows 0 to ", extractor.classes() - 1));
  }
}

// The rule by which the images of these statistics got the size of `inception`, where it is known.
std::optional<std::string> resize_of(const ReferenceStatistics& statistics,
                                     const FeatureExtractor& inception) {
  if (statistics.identity.empty()) {
    return statistics.spatial ? std::optional(to_string(InceptionResize::tensorflow)) : std::nullopt;
  }
  const Json identity = parse_json(statistics.identity);
  if (!identity.is_object() || !identity.contains(kResizeDetail)) return std::nullopt;
  if (identity.value("name", Json()) != inception.name()) return std::nullopt;  // their rules are others
  const Json& rule = identity.at(kResizeDetail);
  return rule.is_string() ? std::optional(rule.get<std::string>()) : std::nullopt;
}

}  // namespace

std::string metrics_help() {
  std::vector<std::string> metrics;
  for (const Metric& metric : metric_table()) metrics.push_back(concat(metric.name, " (", metric.help, ")"));
  return join(metrics);
}

std::string distance_metric(const FeatureExtractor& extractor) {
  return extractor.is_inception() ? "fid" : "frechet";
}

bool is_better(const std::string& score, double a, double b) {
  const auto belongs = [&](const Metric& metric) { return score.starts_with(concat(metric.name, '_')); };
  const auto& table = metric_table();
  const auto found = std::ranges::find_if(table, belongs);
  const Metric& metric = found == table.end() ? metric_named(score) : *found;
  return metric.higher_is_better ? a > b : a < b;
}

Evaluator::Evaluator(std::optional<Reference> reference, const FeatureExtractor& extractor,
                     EvaluationOptions options)
    : reference_(std::move(reference)), extractor_(extractor), options_(std::move(options)) {
  Wanted of_reference{.features = false};
  for (const auto& name : options_.metrics) {
    const Metric& metric = metric_named(name);
    asked_.push_back(&metric);
    wanted_ |= metric.wanted;
    if (metric.with != ComparedWith::nothing) of_reference |= metric.wanted;
  }
  of_reference.logits = false;
  std::ranges::sort(asked_);
  check_names();
  check_extras();
  check_reference();
  compared_ = std::make_unique<ComparedReference>(reference_, extractor_, of_reference, options_.batch_size);
}

Evaluator::~Evaluator() = default;

// Each metric has one name in each kind of features, and some have none.
void Evaluator::check_names() const {
  for (const Metric* metric : asked_) {
    if (extractor_.is_inception() && !metric->in_inception.empty()) {
      throw InputError(concat("metric '", metric->name, "': in Inception features ", metric->least.of, " is ",
                              metric->in_inception, "; ask for that"));
    }
    if (!extractor_.is_inception() && metric->inception_only) {
      const auto of_any = [](const Metric& any) { return !any.inception_only && !needs_no_reference(any); };
      throw InputError(concat("metric '", metric->name, "' is defined by Inception features, but these are ",
                              extractor_.name(), "; name inception as features, or ask for ",
                              metrics_that(of_any, "or")));
    }
  }
}

// Calibration and extrapolation are those of the Fréchet distance.
void Evaluator::check_extras() const {
  const std::string distance = distance_metric(extractor_);
  if (!options_.calibrate && !options_.extrapolate) return;
  if (std::ranges::find(asked_, distance, &Metric::name) != asked_.end()) return;
  throw InputError(concat("the ", options_.calibrate ? "calibration" : "extrapolation",
                          " is that of the Fréchet distance; add ", distance,
                          " to the metrics or leave it out"));
}

void Evaluator::check_counts(const SetHeader& images) const {
  for (const Metric* metric : asked_) check_count(images, metric->least.images, metric->least.of);
}

void Evaluator::check_reference() const {
  const auto needing = [&](auto belongs) {
    const auto found = std::ranges::find_if(asked_, [&](const Metric* metric) { return belongs(*metric); });
    return found == asked_.end() ? nullptr : *found;
  };
  if (!reference_) {
    if (const Metric* metric = needing(std::not_fn(needs_no_reference))) {
      throw InputError(concat("--reference is required: what the samples are compared with by ", metric->name,
                              "; only ", metrics_that(needs_no_reference, "and"), " need none"));
    }
    return;
  }
  if (reference_->images) {
    check_counts(reference_->images->header());
  } else if (options_.calibrate || needing(needs_images)) {
    throw InputError(concat(reference_->path, ": holds statistics and no images (arr_0), but ",
                            options_.calibrate ? "the calibration" : metrics_that(needs_images, "and"),
                            " need the reference's images; name them as reference, or leave it out"));
  }
  if (needing([](const Metric& metric) { return metric.with == ComparedWith::statistics; })) {
    check_statistics();
  }
}

void Evaluator::check(const SetHeader& samples) const {
  if (reference_ && reference_->images && samples.shape != reference_->images->shape()) {
    throw InputError(concat(samples.path, ": images of ", to_string(samples.shape), ", but the reference ",
                            reference_->path, " has ", to_string(reference_->images->shape()),
                            "; both must have one shape"));
  }
  check_counts(samples);
  for (const Metric* metric : asked_) {
    if (metric->labels) check_labels(samples, *metric, extractor_);
  }
}

// Refuses statistics of images that Inception was shown by another rule, or by one that nobody names.
void Evaluator::check_resize() const {
  const std::string rule = extractor_.details().at(kResizeDetail);
  const auto theirs = resize_of(*reference_->statistics, extractor_);
  if (theirs && *theirs != rule) {
    throw InputError(
        concat(reference_->path, ": the statistics are of images resized as ", *theirs,
               reference_->statistics->identity.empty() ? " (mu_s is the official evaluator's)" : "",
               ", not as ", rule, "; give --resize ", *theirs, ", or the reference's images themselves"));
  }
  if (theirs || options_.resize_named || !reference_->statistics->identity.empty()) return;
  throw InputError(
      concat(reference_->path,
             ": these statistics do not say how their images were resized, and FIDs by different rules can't "
             "be compared; say so with --resize: pytorch for pytorch-fid's, clean for clean-fid's, "
             "tensorflow for those of TensorFlow's own graph"));
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
  for (const Metric* metric : asked_) {
    if (metric->with != ComparedWith::statistics || !metric->wanted.spatial || statistics.spatial) continue;
    refuse(concat("has no mu_s and sigma_s, which ", metric->name, " needs"));
  }
}

std::vector<std::string> Evaluator::warnings(const SetHeader& samples) const {
  std::vector<std::string> found;
  if (std::ranges::find(asked_, distance_metric(extractor_), &Metric::name) == asked_.end()) return found;
  const auto look = [&](const std::string& whose, int64_t count) {
    if (count > extractor_.width()) return;
    found.push_back(concat(count, " ", whose, " for features ", extractor_.width(),
                           " wide: their covariance is singular and the distance too high; take more, or ask "
                           "for kid or the extrapolation, which are not biased by the number of samples"));
  };
  look("samples", samples.count);
  if (!reference_->statistics) look("reference images", reference_.value().images.value().size());
  return found;
}

std::vector<Score> Evaluator::evaluate(const ImageSet& samples) {
  check(samples.header());
  return evaluate(samples.header(), activations_of(samples.pixels, extractor_, wanted_, options_.batch_size));
}

std::vector<Score> Evaluator::evaluate(const SetHeader& samples, const Activations& activations) {
  check(samples);
  Kept of_samples;
  const Comparison comparison{samples, activations, *compared_, options_.seed, of_samples};
  std::vector<Score> scores;
  double distance = 0;
  for (const auto& name : options_.metrics) {
    const MetricValue result = metric_named(name).compute(comparison);
    scores.push_back({name, result.value});
    if (result.deviation) scores.push_back({name + "_deviation", *result.deviation});
    if (name == distance_metric(extractor_)) distance = result.value;
  }
  if (options_.calibrate) {
    for (Score& score : calibration(distance, samples.count)) scores.push_back(std::move(score));
  }
  if (options_.extrapolate) {
    scores.push_back({distance_metric(extractor_) + "_infinity",
                      extrapolated_frechet(activations.features, compared_->moments(), options_.seed)});
  }
  return scores;
}

std::vector<Score> Evaluator::calibration(double distance, int64_t samples) {
  const std::string name = distance_metric(extractor_);
  const Tensor simple = gaussian_images(compared_->images().pixels, samples, options_.seed);
  const double gaussian = frechet_distance(
      moments_of(activations_of(simple, extractor_, {}, options_.batch_size).features), compared_->moments());
  return {{name + "_floor", frechet_floor(compared_->activations().features, options_.seed)},
          {name + "_gaussian", gaussian},
          {name + "_relative", distance / gaussian}};
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
