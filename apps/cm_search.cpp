// Searches the time points of multistep sampling that a metric likes best.
#include <CLI/CLI.hpp>

#include "cm/base/limits.h"
#include "cm/cli/checkpoint_options.h"
#include "cm/cli/command_line.h"
#include "cm/cli/compute_options.h"
#include "cm/cli/guidance_option.h"
#include "cm/cli/number_option.h"
#include "cm/cli/search_command.h"
#include "cm/cli/vae_options.h"
#include "cm/metrics/evaluate.h"

int main(int argc, char** argv) {
  CLI::App app(
      "Searches the time points of multistep consistency sampling for the best value of a metric: the greedy "
      "ternary search of Consistency Models. Its last line is what cm-sample takes.",
      "cm-search");
  cm::SearchCommand command;
  cm::add_checkpoint_options(app, command.checkpoint, command.weights);
  cm::add_number_option(app, "--steps", command.steps, "time points, of which the first is sigma_max",
                        cm::within(1, cm::kMostLevels))
      ->required();
  cm::add_number_option(
      app, "--grid", command.grid,
      "levels of the grid that time points are taken from (default: the model's own, or 40)",
      cm::within(2, cm::kMostLevels));
  app.add_option("--metric", command.metric, cm::metrics_help())->capture_default_str();
  cm::add_reference_options(app, command.reference)->required();
  cm::add_number_option(app, "--num", command.count,
                        "samples an evaluation, of the same noise in all; more tell finer differences apart "
                        "(the official release took 10,000)",
                        cm::within(1, cm::kMostSamples))
      ->capture_default_str();
  app.add_option("--class", command.classes,
                 "classes, repeated over the samples in order: 3, 3,5 or all (default)");
  cm::add_guidance_options(app, command.guidance, command.guide);
  cm::add_compute_options(app, command.compute);
  cm::add_vae_options(app, command.vae);
  cm::add_number_option(app, "--batch", command.batch,
                        "samples, and images whose features are, computed at once; changes nothing but speed",
                        cm::within(1, cm::kMostAtOnce))
      ->capture_default_str();
  app.add_option("--out", command.out, "folder for evaluations, result and plot")
      ->type_name("FOLDER")
      ->required();
  app.add_flag("--resume", command.resume,
               "go on with the search in --out, from the evaluations that it has");
  cm::add_common_options(app, command.common);
  return cm::run_command(app, argc, argv, [&] { return cm::run_search_command(command); });
}
