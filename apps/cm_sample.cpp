// Samples a checkpoint: one step, several steps, or a diffusion model's ODE.
#include <CLI/CLI.hpp>

#include "cm/config/guidance_option.h"
#include "cm/config/sample_command.h"

int main(int argc, char** argv) {
  CLI::App app("Samples a checkpoint: writes samples.npz and grid.png.", "cm-sample");
  cm::SampleCommand command;
  std::string sampler;
  std::string quantize = "nearest";
  bool no_clamp = false;
  app.add_option("--checkpoint", command.checkpoint, "a weight file, a checkpoint folder or a run")
      ->required();
  app.add_option("--ema", command.ema,
                 "which evaluation average of a run; 0: the trained weights; default: the slowest "
                 "that has forgotten its start");
  app.add_option("--steps", command.request.steps,
                 "sampling steps (default: 1 for consistency models, 18 otherwise)");
  app.add_option("--sigmas", command.request.sigmas, "time points of multistep sampling, as 80,0.66")
      ->delimiter(',');
  app.add_option("--indices", command.request.indices,
                 "time points as indices of the grid, as 0,22,39; the last one ends "
                 "the walk")
      ->delimiter(',');
  app.add_option("--grid", command.request.grid, "levels of the grid that --indices and --steps count on");
  app.add_option("--sampler", sampler,
                 "onestep, multistep, euler, heun, midpoint, dpm, ancestral or progdist");
  app.add_option("--s-churn", command.request.churn.s_churn, "EDM's S_churn: noise added in each step")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--s-tmin", command.request.churn.s_tmin, "EDM's S_tmin");
  app.add_option("--s-tmax", command.request.churn.s_tmax, "EDM's S_tmax");
  app.add_option("--s-noise", command.request.churn.s_noise, "EDM's S_noise");
  app.add_flag("--no-clamp", no_clamp, "do not clamp the network's output to [-1, 1] after every call");
  app.add_option("--num", command.count, "how many samples")->capture_default_str();
  app.add_option("--class", command.classes,
                 "classes, repeated over the samples in order: 3, 3,5 or all (default)");
  cm::add_guidance_option(app, command.request.guidance);
  app.add_option("--batch", command.batch, "samples computed at once; changes nothing but speed")
      ->capture_default_str();
  app.add_option("--out", command.out, "folder for the output")->required();
  app.add_option("--noise", command.noise, "safetensors with draws to replay: x_T, noise.0, noise.1, …");
  app.add_flag("--float", command.write_float,
               "also write samples.safetensors: x in fp32, before quantisation");
  app.add_flag("--png", command.write_pngs, "also write one PNG a sample");
  app.add_option("--quantize", quantize, "nearest, or truncate as the official release does")
      ->capture_default_str();
  cm::add_common_options(app, command.common);
  return cm::run_command(app, argc, argv, [&] {
    if (!sampler.empty()) command.request.kind = cm::named_option<cm::SamplerKind>("--sampler", sampler);
    command.quantization = cm::named_option<cm::Quantization>("--quantize", quantize);
    command.request.clamp = !no_clamp;
    return cm::run_sample_command(command);
  });
}
