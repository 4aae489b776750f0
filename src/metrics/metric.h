// The table of metrics: what each needs, which way it is better, how it is computed. Whatever is asked of a
// metric by its name is a fold over the rows of metric.cpp.
#pragma once

#include <any>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "cm/metrics/features.h"
#include "cm/metrics/reference.h"
#include "frechet.h"

namespace cm {

// Results that several metrics need: each is computed once, for the first that asks.
class Kept {
 public:
  // The result of `make`, which is called for the first that asks for `what`.
  template <class Make>
  const auto& once(const std::string& what, Make make) {
    std::any& kept = kept_[what];
    if (!kept.has_value()) kept = make();
    return std::any_cast<const std::invoke_result_t<Make>&>(kept);
  }

 private:
  std::map<std::string, std::any> kept_;
};

// The reference of a comparison in its features, and what follows from it.
class ComparedReference : public Kept {
 public:
  // All must live as long. `wanted` is what is computed of the reference's images, `batch_size` at once.
  ComparedReference(const std::optional<Reference>& reference, const FeatureExtractor& extractor,
                    const Wanted& wanted, int64_t batch_size)
      : reference_(reference), extractor_(extractor), wanted_(wanted), batch_size_(batch_size) {}

  const ImageSet& images() const { return reference_.value().images.value(); }
  const Activations& activations();
  // Of the features and of the spatial ones: the statistics where there are some, the images' otherwise.
  const RootedMoments& moments();
  const RootedMoments& spatial_moments();

 private:
  const std::optional<Reference>& reference_;
  const FeatureExtractor& extractor_;
  Wanted wanted_;
  int64_t batch_size_;
};

// What a metric is computed from.
struct Comparison {
  const SetHeader& samples;
  const Activations& activations;  // of the samples
  ComparedReference& reference;
  uint64_t seed;  // of its draws
  Kept& kept;     // of these samples
};

struct MetricValue {
  double value = 0;
  std::optional<double> deviation = std::nullopt;  // reported as NAME_deviation
};

enum class ComparedWith {
  nothing,     // the samples alone are looked at
  statistics,  // the reference's images, or the moments of their features
  images,
};

struct Metric {
  struct Least {
    int64_t images = 1;
    std::string_view of = {};  // what needs so many, as it is called in Inception's features too
  };

  std::string_view name;
  std::string_view help;        // one phrase
  bool inception_only = false;  // defined by Inception's features and computed in no others
  bool higher_is_better = false;
  ComparedWith with = ComparedWith::images;
  Wanted wanted = {};                  // of the samples' features and, but for logits, of the reference's
  bool labels = false;                 // of the samples are needed, and a classifier that knows them
  Least least = {};                    // of the samples, and of the reference's images if there
  std::string_view in_inception = {};  // its name in Inception's features, if another
  std::optional<std::pair<std::string_view, int64_t>> parameter = std::nullopt;  // by name, for the report
  MetricValue (*compute)(const Comparison& comparison) = nullptr;
};

const std::vector<Metric>& metric_table();

// The metric's row. InputError when there is none of this name.
const Metric& metric_named(const std::string& name);

// The names of the metrics that satisfy `belongs`: "a, b and c" with this conjunction.
std::string metrics_that(bool (*belongs)(const Metric&), std::string_view conjunction);

}  // namespace cm
