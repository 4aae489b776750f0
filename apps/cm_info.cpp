// Tells what a weight file, a checkpoint or a run is.
#include <CLI/CLI.hpp>

#include "cm/cli/command_line.h"
#include "cm/cli/info_command.h"

int main(int argc, char** argv) {
  CLI::App app("Tells what a weight file, checkpoint or run is: network, parameters, step, averages.",
               "cm-info");
  cm::InfoCommand command;
  app.add_option("path", command.path, "a weight file, a checkpoint folder or a run")->required();
  app.add_flag("--json", command.json, "print one JSON object");
  app.add_flag("--tensors", command.tensors, "also list every tensor");
  return cm::run_command(app, argc, argv, [&] { return cm::run_info_command(command); });
}
