// cm-evaluate: measures generated images, or what checkpoints make, against a reference set.
#include <CLI/CLI.hpp>
#include <algorithm>

#include "cm/base/text.h"
#include "cm/cli/checkpoint_options.h"
#include "cm/cli/evaluate_command.h"
#include "cm/data/pictures.h"
#include "cm/metrics/evaluate.h"

namespace {

void declare_subjects(CLI::App& app, cm::EvaluateCommand& command) {
  auto* samples = app.add_option("--samples", command.samples,
                                 cm::concat("the generated images: ", cm::stored_image_kinds(), "; or"))
                      ->type_name("FILE");
  auto* checkpoint =
      app.add_option("--checkpoint", command.checkpoints,
                     "what is to be sampled and measured, without a file between: a weight file, checkpoint "
                     "folder or run; several, as RUN/checkpoints/step-*, are measured one after another")
          ->type_name("FILE")
          ->excludes(samples);
  cm::add_average_options(app, command.ema, command.ema_std, checkpoint);
  std::vector<CLI::Option*> before = app.get_options();
  cm::add_sample_set_options(app, command.sampling);
  for (CLI::Option* option : app.get_options()) {
    const bool of_sampling = std::find(before.begin(), before.end(), option) == before.end();
    if (of_sampling && option->get_name() != "--batch") option->needs(checkpoint);
  }
}

void declare_measures(CLI::App& app, cm::EvaluateCommand& command) {
  cm::add_reference_options(app, command.reference);
  app.add_option("--metrics", command.metrics,
                 cm::concat(cm::metrics_help(), "; comma-separated; default: frechet, or fid"))
      ->delimiter(',');
  app.add_flag("--calibrate", command.calibrate,
               "also the distances of the reference to itself and of a Gaussian over pixels, and the "
               "samples' over the latter");
  app.add_flag("--extrapolate", command.extrapolate,
               "also the distance extrapolated to infinitely many samples (FID infinity)");
}

void declare_outputs(CLI::App& app, cm::EvaluateCommand& command) {
  app.add_option(
         "--save-stats", command.statistics,
         "write mean and covariance of the samples' features, for a later --reference; alone or with one")
      ->type_name("FILE");
  app.add_option("--plot", command.plot,
                 "folder for METRIC.png: each metric of the checkpoints over training steps, or over several "
                 "--ema-std")
      ->type_name("FOLDER");
  app.add_flag("--json", command.json, "print one JSON object instead of a table");
  app.add_flag("--dry-run", command.dry_run, "check everything, compute nothing");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures generated images, or what checkpoints make, against a reference set.",
               "cm-evaluate");
  cm::EvaluateCommand command;
  declare_subjects(app, command);
  declare_measures(app, command);
  declare_outputs(app, command);
  cm::add_common_options(app, command.common);
  return cm::run_command(app, argc, argv, [&] { return cm::run_evaluate_command(command); });
}
