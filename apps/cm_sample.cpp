// Samples a checkpoint: one step, several steps, or a diffusion model's ODE.
#include <CLI/CLI.hpp>

#include "cm/cli/checkpoint_options.h"
#include "cm/cli/sample_command.h"

int main(int argc, char** argv) {
  CLI::App app("Samples a checkpoint: writes samples.npz and grid.png.", "cm-sample");
  cm::SampleCommand command;
  cm::add_checkpoint_options(app, command.checkpoint, command.weights);
  cm::add_sample_set_options(app, command.samples);
  app.add_option("--out", command.out, "folder for the output")->type_name("FOLDER")->required();
  app.add_option("--noise", command.noise, "safetensors with draws to replay: x_T, noise.0, noise.1, …")
      ->type_name("FILE");
  app.add_flag("--float", command.write_float,
               "also write samples.safetensors: x in fp32, before quantisation");
  app.add_flag("--png", command.write_pngs, "also write one PNG a sample");
  app.add_flag(
         "--pairs", command.pairs,
         "write pairs of noise and image, both in fp32, in place of samples.npz: what objective kd learns "
         "from. Any number in little memory; the same command again goes on where one was interrupted")
      ->excludes("--float")
      ->excludes("--png")
      ->excludes("--quantize");
  cm::add_common_options(app, command.common);
  return cm::run_command(app, argc, argv, [&] { return cm::run_sample_command(command); });
}
