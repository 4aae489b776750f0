#include "cm/metrics/report.h"

#include <iomanip>
#include <sstream>

#include "cm/metrics/calibration.h"
#include "cm/metrics/file_digest.h"

namespace cm {
namespace {

constexpr int kNameWidth = 18;
constexpr int kDigits = 6;

Json source_of(const ImageSet& images) {
  return {{"path", images.path}, {"count", images.size()}};
}

Json features_of(const FeatureExtractor& extractor) {
  Json features = {
      {"name", extractor.name()}, {"width", extractor.width()}, {"file", nullptr}, {"sha256", nullptr}};
  if (const auto file = extractor.file()) {
    features["file"] = file->string();
    features["sha256"] = sha256_of(*file);
  }
  for (const auto& [name, value] : extractor.details()) features[name] = value;
  return features;
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
  return concat(set.at("count"), " images, ", set.at("path").get<std::string>());
}

}  // namespace

Json report_of(const std::vector<Score>& scores, const ImageSet& samples, const ImageSet& reference,
               const FeatureExtractor& extractor, const EvaluationOptions& options) {
  Json report;
  for (const Score& score : scores) report[score.name] = score.value;
  report["features"] = features_of(extractor);
  report["samples"] = source_of(samples);
  report["reference"] = source_of(reference);
  const ImageShape shape = samples.shape();
  report["image_shape"] = {shape.channels, shape.height, shape.width};
  if (options.calibrate) {
    report["calibration"] = {{"floor_splits", kFloorSplits},
                             {"floor_half", reference.size() / 2},
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
    if (value.is_number()) line(key, value.template get<double>());
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
