// Writes the images that a configuration trains on: to look at, to compare with, to edit.
#include <CLI/CLI.hpp>

#include "cm/cli/command_line.h"
#include "cm/cli/data_command.h"
#include "cm/cli/number_option.h"

int main(int argc, char** argv) {
  CLI::App app(
      "Writes the images that a configuration trains on: samples.npz and grid.png, or a zip to train on, of "
      "the images or of their latents.",
      "cm-data");
  cm::DataCommand command;
  app.add_option("--config", command.config, "YAML file of a training run (see configs/)")
      ->type_name("FILE")
      ->required();
  app.add_option("overrides", command.overrides, "settings over the file's: data.path=photos …")
      ->type_name("KEY=VALUE");
  cm::add_number_option(app, "--num", command.count, "how many images, from the first on (default: all)");
  auto* out = app.add_option("--out", command.out, "folder for the output; or")->type_name("FOLDER");
  app.add_option("--to-zip", command.to_zip,
                 "archive of PNGs with dataset.json, as EDM's dataset_tool.py makes, to train on (data.path)")
      ->type_name("FILE");
  cm::add_encode_options(app, command.encode, out);
  app.add_flag("--png", command.write_pngs, "also write one PNG an image")->needs(out);
  app.add_flag("--force", command.force, "write over an earlier output");
  return cm::run_command(app, argc, argv, [&] { return cm::run_data_command(command); });
}
