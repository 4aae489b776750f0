// Makes an average of a run's weights of any width, from the snapshots that training kept.
#include <CLI/CLI.hpp>

#include "cm/base/limits.h"
#include "cm/cli/average_command.h"
#include "cm/cli/command_line.h"
#include "cm/cli/number_option.h"

int main(int argc, char** argv) {
  CLI::App app(
      "Makes the average of a run's weights of a width chosen after training, as a weight file, from "
      "the snapshots that ema.power_stds keeps.",
      "cm-average");
  cm::AverageCommand command;
  app.add_option("--run", command.run, "folder of the run")->type_name("FOLDER")->required();
  cm::add_number_option(app, "--std", command.std,
                        "width σ_rel of the average, as a share of the training so far: 0.075, say")
      ->required();
  cm::add_number_option(app, "--at", command.at, "step that it is of (default: of the last snapshot)",
                        cm::within(1, cm::kMostSteps));
  app.add_option("--out", command.out, "the weight file, .safetensors")->type_name("FILE")->required();
  app.add_flag("--force", command.force, "write over an earlier output");
  return cm::run_command(app, argc, argv, [&] { return cm::run_average_command(command); });
}
