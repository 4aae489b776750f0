// cm-evaluate: compares generated images with a reference set.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <optional>

#include "cm/base/error.h"
#include "cm/base/log.h"
#include "cm/base/text.h"
#include "cm/config/command_line.h"
#include "cm/config/reference_options.h"
#include "cm/metrics/report.h"

namespace {

constexpr int64_t kMaxBatch = 1 << 20;

struct Arguments {
  std::string samples;
  cm::ReferenceOptions reference;
  std::vector<std::string> metrics;
  std::optional<std::string> statistics;
  cm::EvaluationOptions evaluation;
  bool json = false;
  cm::CommonOptions common;
};

void declare(CLI::App& app, Arguments& arguments) {
  app.add_option("--samples", arguments.samples, cm::concat("the generated images: ", cm::kImageSets))
      ->required();
  cm::add_reference_options(app, arguments.reference);
  app.add_option(
         "--metrics", arguments.metrics,
         "frechet, kid, precision, recall, class_accuracy; with Inception features fid, sfid and is in "
         "place of frechet; comma-separated; default: frechet, or fid")
      ->delimiter(',');
  app.add_option("--batch", arguments.evaluation.batch_size, "images whose features are computed at once")
      ->check(CLI::Range(int64_t{1}, kMaxBatch))
      ->capture_default_str();
  app.add_flag(
      "--calibrate", arguments.evaluation.calibrate,
      "also the distances of the reference to itself and of a Gaussian over pixels, and the samples' "
      "over the latter");
  app.add_flag("--extrapolate", arguments.evaluation.extrapolate,
               "also the distance extrapolated to infinitely many samples (FID infinity)");
  app.add_option(
      "--save-stats", arguments.statistics,
      "write mean and covariance of the samples' features, for a later --reference; alone or with one");
  app.add_flag("--json", arguments.json, "print one JSON object instead of a table");
  cm::add_common_options(app, arguments.common);
}

void save_statistics(const Arguments& arguments, const cm::ImageSet& samples,
                     const cm::FeatureExtractor& extractor) {
  const std::filesystem::path file = *arguments.statistics;
  if (std::filesystem::exists(file) && !arguments.common.force) {
    throw cm::InputError(cm::concat(file.string(), ": exists already; --force writes over it"));
  }
  cm::save_statistics(file, cm::statistics_of(samples, extractor, arguments.evaluation.batch_size));
  std::cerr << "the statistics of " << samples.size() << " images: " << file.string() << '\n';
}

void compare(const Arguments& arguments, const cm::ImageSet& samples, const cm::FeatureExtractor& extractor) {
  const cm::Reference reference = cm::load_reference(arguments.reference.reference);
  cm::Evaluator evaluator(reference, extractor, arguments.evaluation);
  const auto scores = evaluator.evaluate(samples);
  const auto warnings = evaluator.warnings(samples);
  for (const auto& warning : warnings) cm::log_warning(warning);
  const cm::Json report =
      cm::report_of(scores, samples, reference, extractor, arguments.evaluation, warnings);
  std::cout << (arguments.json ? report.dump(2) + "\n" : cm::table_of(report));
}

int run(Arguments& arguments) {
  if (arguments.reference.reference.empty() && !arguments.statistics) {
    throw cm::InputError(
        "--reference is required: what the samples are compared with; or give --save-stats FILE");
  }
  const auto metrics = cm::parse_metrics(arguments.metrics);
  arguments.evaluation.seed = arguments.common.seed.value_or(0);
  const torch::Device device = cm::parse_device(arguments.common.device);
  const cm::ImageSet samples = cm::load_images(arguments.samples);
  const auto extractor = cm::make_features(arguments.reference.features, samples.shape(), device);
  arguments.evaluation.metrics = metrics.empty() ? std::vector{cm::distance_metric(*extractor)} : metrics;
  if (arguments.statistics) save_statistics(arguments, samples, *extractor);
  if (!arguments.reference.reference.empty()) compare(arguments, samples, *extractor);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Compares generated images with a reference set.", "cm-evaluate");
  Arguments arguments;
  declare(app, arguments);
  return cm::run_command(app, argc, argv, [&] { return run(arguments); });
}
