// Tells what a weight file, a checkpoint or a run is.
#include <CLI/CLI.hpp>

#include "cm/cli/command_line.h"
#include "cm/cli/info_command.h"

int main(int argc, char** argv) {
  CLI::App app(
      "Tells what a weight file, checkpoint or run is: network, parameters, step, averages, progress.",
      "cm-info");
  cm::InfoCommand command;
  app.add_option("path", command.path, "a weight file, a checkpoint folder or a run")
      ->type_name("FILE")
      ->required();
  auto* json = app.add_flag("--json", command.json, "print one JSON object");
  auto* tensors = app.add_flag("--tensors", command.tensors, "also list every tensor");
  app.add_flag("--watch", command.watch,
               "show how far a run is, again every second, until it has finished or Ctrl-C")
      ->excludes(json)
      ->excludes(tensors);
  return cm::run_command(app, argc, argv, [&] { return cm::run_info_command(command); });
}
