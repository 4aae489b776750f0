// Writes the images that a configuration trains on: to look at, to compare with, to edit.
#include <CLI/CLI.hpp>

#include "cm/cli/command_line.h"
#include "cm/cli/data_command.h"
#include "cm/cli/number_option.h"

int main(int argc, char** argv) {
  CLI::App app("Writes the images that a configuration trains on: samples.npz and grid.png.", "cm-data");
  cm::DataCommand command;
  app.add_option("--config", command.config, "YAML file of a training run (see configs/)")
      ->type_name("FILE")
      ->required();
  app.add_option("overrides", command.overrides, "settings over the file's: data.path=photos …")
      ->type_name("KEY=VALUE");
  cm::add_number_option(app, "--num", command.count, "how many images, from the first on (default: all)");
  app.add_option("--out", command.out, "folder for the output")->type_name("FOLDER")->required();
  app.add_flag("--png", command.write_pngs, "also write one PNG an image");
  app.add_flag("--force", command.force, "write over an earlier output");
  return cm::run_command(app, argc, argv, [&] { return cm::run_data_command(command); });
}
