#include "metric.h"

#include <algorithm>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "inception_score.h"
#include "kernel_distance.h"
#include "manifold.h"

namespace cm {
namespace {

constexpr int64_t kNeighbours = 3;         // of precision and recall, as published
constexpr int64_t kDensityNeighbours = 5;  // of density and coverage, as published
constexpr Wanted kSpatial{.features = false, .spatial = true};
constexpr Wanted kLogits{.features = false, .logits = true};

MetricValue frechet(const Comparison& c) {
  return {frechet_distance(moments_of(c.activations.features), c.reference.moments())};
}

MetricValue spatial_frechet(const Comparison& c) {
  return {frechet_distance(moments_of(c.activations.spatial.value()), c.reference.spatial_moments())};
}

MetricValue inception_score_of(const Comparison& c) {
  return {inception_score(c.activations.logits.value().to(torch::kFloat64).softmax(1))};
}

MetricValue kid(const Comparison& c) {
  const KernelDistance distance =
      kernel_distance(c.activations.features, c.reference.activations().features, {.seed = c.seed});
  return {distance.mean, distance.deviation};
}

const Manifold& reference_manifold(ComparedReference& reference, int64_t k) {
  return reference.once(concat("manifold of ", k, " neighbours"),
                        [&] { return manifold_of(reference.activations().features, k); });
}

MetricValue precision(const Comparison& c) {
  return {share_inside(c.activations.features, reference_manifold(c.reference, kNeighbours))};
}

MetricValue recall(const Comparison& c) {
  return {share_inside(c.reference.activations().features, manifold_of(c.activations.features, kNeighbours))};
}

const DensityCoverage& density_coverage_of(const Comparison& c) {
  return c.kept.once("density and coverage", [&] {
    return density_coverage(c.activations.features, reference_manifold(c.reference, kDensityNeighbours));
  });
}

MetricValue density(const Comparison& c) {
  return {density_coverage_of(c).density};
}

MetricValue coverage(const Comparison& c) {
  return {density_coverage_of(c).coverage};
}

MetricValue class_accuracy(const Comparison& c) {
  const Tensor classes = c.activations.logits.value().argmax(1);
  const Tensor right = classes == c.samples.labels.value().to(classes.device());
  return {right.to(torch::kFloat64).mean().item<double>()};
}

}  // namespace

// clang-format off
const std::vector<Metric>& metric_table() {
  constexpr auto kDistance = "the Fréchet distance";
  constexpr auto kShares = "precision and recall with k = 3";
  constexpr auto kDensity = "density and coverage with k = 5";
  static const std::vector<Metric> table = {
      // Numbers in other features can't be compared with a FID, so they have another name.
      {.name = "frechet", .help = "Fréchet distance in features other than Inception's",
       .with = ComparedWith::statistics, .least = {2, kDistance}, .in_inception = "fid", .compute = frechet},
      {.name = "fid", .help = "Fréchet distance in Inception's features", .inception_only = true,
       .with = ComparedWith::statistics, .least = {2, kDistance}, .compute = frechet},
      // Nash et al. 2021, arXiv 2103.03841.
      {.name = "sfid", .help = "that in its spatial features", .inception_only = true,
       .with = ComparedWith::statistics, .wanted = kSpatial, .least = {2, kDistance}, .compute = spatial_frechet},
      {.name = "is", .help = "Inception Score", .inception_only = true, .higher_is_better = true,
       .with = ComparedWith::nothing, .wanted = kLogits, .parameter = {{"is_split", kInceptionSplit}},
       .compute = inception_score_of},
      {.name = "kid", .help = "kernel distance", .least = {2, "the kernel distance"}, .compute = kid},
      {.name = "precision", .help = "share of samples that lie among the reference's images",
       .higher_is_better = true, .least = {kNeighbours + 1, kShares}, .compute = precision},
      {.name = "recall", .help = "share of the reference's images that lie among the samples",
       .higher_is_better = true, .least = {kNeighbours + 1, kShares}, .compute = recall},
      {.name = "density", .help = "how many of the reference's images have a sample among their neighbours, on average",
       .higher_is_better = true, .least = {kDensityNeighbours + 1, kDensity}, .compute = density},
      {.name = "coverage", .help = "share of the reference's images that have a sample among their neighbours",
       .higher_is_better = true, .least = {kDensityNeighbours + 1, kDensity}, .compute = coverage},
      {.name = "class_accuracy", .help = "share of samples that a classifier gives the class of their label",
       .higher_is_better = true, .with = ComparedWith::nothing, .wanted = kLogits, .labels = true,
       .compute = class_accuracy},
  };
  return table;
}
// clang-format on

const Metric& metric_named(const std::string& name) {
  const auto found = std::ranges::find(metric_table(), name, &Metric::name);
  if (found != metric_table().end()) return *found;
  std::vector<std::string> names;
  for (const Metric& metric : metric_table()) names.emplace_back(metric.name);
  throw InputError(
      concat("metric must be one of {", join(names), "}, got '", name, "'", did_you_mean(name, names)));
}

std::string metrics_that(bool (*belongs)(const Metric&), std::string_view conjunction) {
  std::vector<std::string> names;
  for (const Metric& metric : metric_table()) {
    if (belongs(metric)) names.emplace_back(metric.name);
  }
  return enumerate(names, conjunction);
}

const Activations& ComparedReference::activations() {
  return once("activations",
              [&] { return activations_of(images().pixels, extractor_, wanted_, batch_size_); });
}

const RootedMoments& ComparedReference::moments() {
  return once("moments", [&] {
    const auto& statistics = reference_.value().statistics;
    return rooted(statistics ? statistics->features : moments_of(activations().features));
  });
}

const RootedMoments& ComparedReference::spatial_moments() {
  return once("spatial moments", [&] {
    const auto& statistics = reference_.value().statistics;
    return rooted(statistics ? statistics->spatial.value() : moments_of(activations().spatial.value()));
  });
}

}  // namespace cm
