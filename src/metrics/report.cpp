#include "cm/metrics/report.h"

#include <iomanip>

#include "calibration.h"
#include "metric.h"

namespace cm {
namespace {

constexpr int kNameWidth = 18;
constexpr int kDigits = 6;

Json source_of(const SetHeader& images) {
  return {{"path", images.path}, {"count", images.count}};
}

Json source_of(const std::optional<Reference>& reference) {
  if (!reference) return nullptr;
  Json source = {
      {"path", reference->path}, {"count", nullptr}, {"statistics", reference->statistics.has_value()}};
  if (reference->images) source["count"] = reference->images->size();
  return source;
}

std::string describe_features(const Json& features) {
  std::string words = concat(features.at("name").get<std::string>(), ", ", features.at("width"), " wide");
  if (features.contains(kResizeDetail)) {
    words += concat(", images resized as ", features.at(kResizeDetail).get<std::string>());
  }
  if (features.at("file").is_null()) return words;
  return concat(words, ", from ", features.at("file").get<std::string>(), " (SHA-256 ",
                features.at("sha256").get<std::string>(), ")");
}

std::string line_of(const std::string& name, const std::string& value) {
  return concat(std::left, std::setw(kNameWidth), name, value, '\n');
}

}  // namespace

Json report_of(const std::vector<Score>& scores, const SetHeader& samples,
               const std::optional<Reference>& reference, const FeatureExtractor& extractor,
               const EvaluationOptions& options, const std::vector<std::string>& warnings) {
  Json report;
  for (const Score& score : scores) report[score.name] = score.value;
  report["features"] = feature_record(extractor);
  report["samples"] = source_of(samples);
  report["reference"] = source_of(reference);
  report["image_shape"] = {samples.shape.channels, samples.shape.height, samples.shape.width};
  report["seed"] = options.seed;
  report["warnings"] = warnings;
  for (const Metric& metric : metric_table()) {
    if (!metric.parameter || !report.contains(std::string(metric.name))) continue;
    report[std::string(metric.parameter->first)] = metric.parameter->second;
  }
  if (options.calibrate) {
    report["calibration"] = {{"floor_splits", kFloorSplits},
                             {"floor_half", reference.value().images.value().size() / 2},
                             {"gaussian_samples", samples.count},
                             {"seed", options.seed}};
  }
  return report;
}

std::string describe_set(const Json& set) {
  const std::string path = set.at("path").get<std::string>();
  if (set.at("count").is_null()) return concat("statistics, ", path);
  const bool statistics = set.value("statistics", false);
  const std::string words =
      concat(set.at("count"), statistics ? " images and statistics, " : " images, ", path);
  if (!set.contains("sampler")) return words;
  return concat(words, ", by ", set.at("sampler").get<std::string>(), ", ", set.at("evaluations"),
                " evaluation(s) each");
}

std::vector<std::string> scores_in(const Json& report) {
  std::vector<std::string> scores;
  for (const auto& [name, value] : report.items()) {
    if (value.is_number_float()) scores.push_back(name);
  }
  return scores;
}

std::string basis_of(const Json& report) {
  std::string basis = line_of("features", describe_features(report.at("features")));
  if (!report.at("reference").is_null()) {
    basis += line_of("reference", describe_set(report.at("reference")));
  }
  if (!report.contains("calibration")) return basis;
  const Json& calibration = report.at("calibration");
  const std::string distance = report.contains("fid") ? "fid" : "frechet";
  return basis +
         line_of(distance + "_floor:",
                 concat("reference against itself, random halves of ", calibration.at("floor_half"),
                        " images, mean of ", calibration.at("floor_splits"), " splits")) +
         line_of(distance + "_gaussian:",
                 concat(calibration.at("gaussian_samples"),
                        " draws of the Gaussian with the reference's pixel mean and covariance")) +
         line_of(distance + "_relative:", concat(distance, " / ", distance, "_gaussian"));
}

std::string table_of(const Json& report) {
  std::string table;
  for (const auto& score : scores_in(report)) {
    table += line_of(score, concat(std::setprecision(kDigits), report.at(score).get<double>()));
  }
  return table + line_of("samples", describe_set(report.at("samples"))) + basis_of(report);
}

}  // namespace cm
