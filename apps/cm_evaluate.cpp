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

void check_statistics_file(const Arguments& arguments) {
  if (arguments.statistics && std::filesystem::exists(*arguments.statistics) && !arguments.common.force) {
    throw cm::InputError(cm::concat(*arguments.statistics, ": exists already; --force writes over it"));
  }
}

// For the scores and the statistics together.
cm::Wanted wanted_of(const Arguments& arguments, const std::optional<cm::Evaluator>& evaluator,
                     const cm::FeatureExtractor& extractor) {
  cm::Wanted wanted = evaluator ? evaluator->wanted() : cm::Wanted{.features = false};
  if (arguments.statistics) {
    wanted.features = true;
    wanted.spatial = wanted.spatial || extractor.is_inception();
  }
  return wanted;
}

void print_report(const cm::Json& report, bool json) {
  for (const auto& warning : report.at("warnings")) cm::log_warning(warning.get<std::string>());
  std::cout << (json ? report.dump(2) + "\n" : cm::table_of(report));
}

int run(Arguments& arguments) {
  const std::string& reference_path = arguments.reference.reference;
  if (reference_path.empty() && !arguments.statistics) {
    throw cm::InputError(
        "--reference is required: what the samples are compared with; or give --save-stats FILE");
  }
  check_statistics_file(arguments);
  const auto metrics = cm::parse_metrics(arguments.metrics);
  arguments.evaluation.seed = arguments.common.seed.value_or(0);
  const torch::Device device = cm::parse_device(arguments.common.device);
  const cm::ImageSet samples = cm::load_images(arguments.samples);
  const auto extractor = cm::make_features(arguments.reference.features, samples.shape(), device);
  arguments.evaluation.metrics = metrics.empty() ? std::vector{cm::distance_metric(*extractor)} : metrics;

  std::optional<cm::Evaluator> evaluator;
  if (!reference_path.empty()) {
    evaluator.emplace(cm::load_reference(reference_path), *extractor, arguments.evaluation);
    evaluator->check(samples);
  }
  const cm::Activations activations =
      cm::activations_of(samples.pixels, *extractor, wanted_of(arguments, evaluator, *extractor),
                         arguments.evaluation.batch_size);
  if (arguments.statistics) {
    cm::save_statistics(*arguments.statistics, cm::statistics_of(samples, activations, *extractor));
    std::cerr << "the statistics of " << samples.size() << " images: " << *arguments.statistics << '\n';
  }
  if (!evaluator) return 0;
  const auto scores = evaluator->evaluate(samples, activations);
  print_report(cm::report_of(scores, samples, evaluator->reference(), *extractor, arguments.evaluation,
                             evaluator->warnings(samples)),
               arguments.json);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Compares generated images with a reference set.", "cm-evaluate");
  Arguments arguments;
  declare(app, arguments);
  return cm::run_command(app, argc, argv, [&] { return run(arguments); });
}
