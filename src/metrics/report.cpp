#include "cm/metrics/report.h"

#include <iomanip>
#include <sstream>

#include "cm/metrics/calibration.h"

namespace cm {
namespace {

constexpr int kNameWidth = 18;
constexpr int kDigits = 6;

Json source_of(const ImageSet& images) {
  return {{"path", images.path}, {"count", images.size()}};
}

Json source_of(const Reference& reference) {
  Json source = {
      {"path", reference.path}, {"count", nullptr}, {"statistics", reference.statistics.has_value()}};
  if (reference.images) source["count"] = reference.images->size();
  return source;
}

std::string describe_features(const Json& features) {
  std::string words = concat(features.at("name").get<std::string>(), ", ", features.at("width"), " wide");
  if (features.contains("resize")) {
    words += concat(", images resized as ", features.at("resize").get<std::string>());
  }
  if (features.at("file").is_null()) return words;
  return concat(words, ", from ", features.at("file").get<std::string>(), " (SHA-256 ",
                features.at("sha256").get<std::string>(), ")");
}

std::string describe_set(const Json& set) {
  const std::string path = set.at("path").get<std::string>();
  if (set.at("count").is_null()) return concat("statistics, ", path);
  const bool statistics = set.value("statistics", false);
  return concat(set.at("count"), statistics ? " images and statistics, " : " images, ", path);
}

}  // namespace

Json report_of(const std::vector<Score>& scores, const ImageSet& samples, const Reference& reference,
               const FeatureExtractor& extractor, const EvaluationOptions& options,
               const std::vector<std::string>& warnings) {
  Json report;
  for (const Score& score : scores) report[score.name] = score.value;
  report["features"] = feature_record(extractor);
  report["samples"] = source_of(samples);
  report["reference"] = source_of(reference);
  const ImageShape shape = samples.shape();
  report["image_shape"] = {shape.channels, shape.height, shape.width};
  report["seed"] = options.seed;
  report["warnings"] = warnings;
  if (options.calibrate) {
    report["calibration"] = {{"floor_splits", kFloorSplits},
                             {"floor_half", reference.images.value().size() / 2},
                             {"gaussian_samples", samples.size()},
                             {"seed", options.seed}};
  }
  return report;
}

std::string table_of(const Json& report) {
  std::ostringstream table;
  const auto line = [&](const std::string& name, const auto& value) {
    table << std::left << std::setw(kNameWidth) << name << value << '\n';
  };
  table << std::setprecision(kDigits);
  for (const auto& [key, value] : report.items()) {
    if (value.is_number_float()) line(key, value.template get<double>());
  }
  line("features", describe_features(report.at("features")));
  line("samples", describe_set(report.at("samples")));
  line("reference", describe_set(report.at("reference")));
  if (report.contains("calibration")) {
    const Json& calibration = report.at("calibration");
    const std::string distance = report.contains("fid") ? "fid" : "frechet";
    line(distance + "_floor:",
         concat("reference against itself, random halves of ", calibration.at("floor_half"),
                " images, mean of ", calibration.at("floor_splits"), " splits"));
    line(distance + "_gaussian:",
         concat(calibration.at("gaussian_samples"),
                " draws of the Gaussian with the reference's pixel mean and covariance"));
    line(distance + "_relative:", concat(distance, " / ", distance, "_gaussian"));
  }
  return table.str();
}

}  // namespace cm
