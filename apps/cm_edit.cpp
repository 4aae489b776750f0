// Zero-shot editing with a checkpoint: inpainting, colours, super-resolution, strokes, denoising,
// interpolation.
#include <CLI/CLI.hpp>

#include "cm/base/limits.h"
#include "cm/cli/checkpoint_options.h"
#include "cm/cli/compute_options.h"
#include "cm/cli/edit_command.h"
#include "cm/cli/guidance_option.h"
#include "cm/cli/number_option.h"
#include "cm/cli/vae_options.h"
#include "cm/data/pictures.h"

namespace {

// What CLI11 gives as text.
struct Words {
  std::string task;
  std::string box;
  std::string seeds;
  std::string sampler;
};

void declare_task(CLI::App& app, cm::EditOptions& options, Words& words) {
  app.add_option("task", words.task, "what is done to the input")
      ->type_name(cm::choices_of<cm::EditTask>())
      ->required();
  cm::add_checkpoint_options(app, options.checkpoint, options.weights);
  app.add_option("--input", options.input,
                 cm::concat("the pictures: an image file, ", cm::stored_image_kinds(),
                            "; cropped and resized as for training"))
      ->type_name("FILE");
  app.add_option("--mask", options.mask,
                 "inpaint: a picture, white = known, of the model's size or the input's")
      ->type_name("FILE");
  app.add_option("--box", words.box, "inpaint: the part to fill, as x,y,w,h in the model's pixels");
  cm::add_number_option(app, "--factor", options.factor,
                        "superres: how many times larger; the input is the small picture, or a full one "
                        "whose patches are averaged first",
                        cm::within(2, cm::kLargestSide));
  cm::add_number_option(app, "--sigma", options.sigma,
                        "stroke: the noise level to start from (higher: further from the input); denoise: "
                        "the level that the input has, in units of [-1, 1]");
  app.add_flag("--add-noise", options.add_noise,
               "denoise: the input is clean, put noise of --sigma into it first");
  app.add_option("--seeds", words.seeds,
                 "interpolate: the two ends, as A,B: the first samples of these seeds");
}

void declare_walk_and_output(CLI::App& app, cm::EditOptions& options, Words& words) {
  cm::add_number_option(app, "--steps", options.steps,
                        "evaluations; default: the model's grid, at most 40, for inpaint, colorize and "
                        "superres; otherwise as cm-sample",
                        cm::within(1, cm::kMostLevels));
  cm::add_number_option(app, "--sigmas", options.sigmas, "time points, as 80,24.4,5.84,0.9,0.661");
  app.add_option("--sampler", words.sampler,
                 "stroke, interpolate: the walk from noise to images; default: as cm-sample")
      ->type_name(cm::choices_of<cm::Sampler>());
  app.add_option("--class", options.classes,
                 "classes, repeated over the results in order: 3, 3,5 or all; default: those of the input");
  cm::add_guidance_options(app, options.guidance, options.guide);
  cm::add_compute_options(app, options.compute);
  cm::add_vae_options(app, options.vae);
  cm::add_number_option(app, "--num", options.count,
                        "how many results; the inputs are repeated in order, each with draws of its own "
                        "(default: one an input, 8 for interpolate)",
                        cm::within(1, cm::kMostSamples));
  cm::add_number_option(app, "--batch", options.batch, "results computed at once; changes nothing but speed",
                        cm::within(1, cm::kMostAtOnce))
      ->capture_default_str();
  app.add_option("--out", options.out, "folder for results.npz, grid.png and edit.json")
      ->type_name("FOLDER")
      ->required();
  app.add_option("--noise", options.noise,
                 "safetensors with draws to replay: x_T, where the walk starts, noise.0, noise.1, …")
      ->type_name("FILE");
  app.add_flag("--float", options.write_float,
               "also write results.safetensors: x in fp32, before quantisation");
  app.add_flag("--png", options.write_pngs, "also write one PNG a result");
  cm::add_common_options(app, options.common);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Edits pictures with a checkpoint that was never trained for it.", "cm-edit");
  cm::EditOptions options;
  Words words;
  declare_task(app, options, words);
  declare_walk_and_output(app, options, words);
  return cm::run_command(app, argc, argv, [&] {
    options.task = cm::named_option<cm::EditTask>("the task", words.task);
    if (!words.sampler.empty()) options.sampler = cm::named_option<cm::Sampler>("--sampler", words.sampler);
    if (!words.box.empty()) options.box = cm::whole_numbers("--box", words.box, 4);
    if (!words.seeds.empty()) options.seeds = cm::whole_numbers("--seeds", words.seeds, 2);
    return cm::run_edit_command(options);
  });
}
