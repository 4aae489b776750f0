#include "cm/cli/sample_command.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>

#include "cm/base/clock.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/cli/compute_options.h"
#include "cm/distributed/spread.h"
#include "cm/io/json.h"
#include "cm/training/replay.h"
#include "image_output.h"
#include "pair_making.h"
#include "ranks.h"
#include "search_folder.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

ImageOutput output_of(const SampleCommand& command) {
  return {.folder = command.out,
          .image = "sample",
          .write_float = command.write_float,
          .write_pngs = command.write_pngs,
          .quantization = command.samples.quantization};
}

// What the command names, opened and checked.
struct Opened {
  SampleSetPlan plan;
  std::optional<Model> model;
  ImageCodec codec = {};
  std::optional<Replay> replay;
  std::optional<PairSet> pairs;
};

// What decides the pairs besides the code and their number.
Json maker_of(const SampleCommand& command, const SampleSetPlan& plan) {
  Json record = {{"checkpoint", weights_setting(plan.weights)}};
  record.update(sampler_record(plan.sampler));
  record["clamp"] = plan.sampler.clamp;
  record["classes"] = command.samples.classes.value_or("all");
  record["dtype"] = to_string(command.samples.compute.dtype);
  if (command.noise) {
    record["noise"] = file_setting(*command.noise);
  } else {
    record["seed"] = command.common.seed.value_or(0);
  }
  return record;
}

PairSet pair_set_of(const SampleCommand& command, const SampleSetPlan& plan) {
  const ImageSpec& image = plan.model.image;
  const double weight = plan.sampler.guidance.weight;
  return {.count = command.samples.count,
          .channels = image.channels,
          .image_size = image.size,
          .classes = image.classes,
          .sigma_max = plan.sampler.sigmas.front(),
          .guidance = weight != 1 ? std::optional(weight) : plan.model.guidance,
          .made_by = json_text(maker_of(command, plan)),
          .latents = plan.model.latents};
}

Opened open_named(const SampleCommand& command, const torch::Device& device) {
  check_output(output_of(command), command.common.force);
  Opened opened{.plan = plan_samples(command.checkpoint, command.weights, command.samples),
                .model = std::nullopt,
                .codec = {},
                .replay = std::nullopt,
                .pairs = std::nullopt};
  if (command.pairs) {
    refuse_drawn_noise(opened.plan.sampler);
    opened.pairs = pair_set_of(command, opened.plan);
    if (!command.common.force) refuse_other_pairs(command.out, *opened.pairs);
  }
  opened.codec = CodecOpener(command.samples.vae, device).open(opened.plan.weights, opened.plan.model);
  opened.model = open_model(opened.plan.weights, opened.plan.sampler.guide, device, command.samples.compute);
  if (command.noise) opened.replay.emplace(*command.noise, opened.plan.model.image, command.samples.count);
  return opened;
}

SampleNoise noise_of(const SampleCommand& command, const Opened& opened, int64_t first, int64_t n) {
  if (opened.replay) return opened.replay->batch(first, n);
  const uint64_t seed = command.common.seed.value_or(0);
  return seeded_noise(opened.plan.model, opened.plan.sampler, seed, first, n, opened.model->device());
}

// What the model makes, for --float, or else its images as pixels, which take less memory; on rank 0.
Tensor sample_all(const SampleCommand& command, const Opened& opened, const World& world) {
  const auto make = [&](int64_t first, int64_t n) {
    const Tensor x =
        planned_samples(opened.plan, *opened.model, noise_of(command, opened, first, n), first, n);
    return command.write_float ? x : to_uint8(opened.codec.decode(x), command.samples.quantization);
  };
  return spread_batches(world, command.samples.count, command.samples.batch, make, "sampling");
}

Tensor decoded(const SampleCommand& command, const Opened& opened, const Tensor& x) {
  const auto make = [&](int64_t first, int64_t n) {
    return opened.codec.decode(x.narrow(0, first, n).to(opened.model->device()));
  };
  return spread_batches(World(), x.size(0), command.samples.batch, make, "decoding");
}

Tensor grid_of(const Tensor& pixels) {
  return make_grid(pixels.narrow(0, 0, std::min(kGridImages, pixels.size(0))));
}

void write_samples(const SampleCommand& command, const Opened& opened, const Tensor& made) {
  const ImageOutput output = output_of(command);
  const Tensor& labels = opened.plan.labels;
  if (!command.write_float) return write_pixels(output, made, labels, grid_of(made));
  const bool latents = opened.codec.of_latents();
  const Tensor x = latents ? decoded(command, opened, made) : made;
  write_images(output, x, labels, grid_of(to_uint8(x, output.quantization)),
               latents ? NamedTensors{{"latents", made}} : NamedTensors());
}

// What was done, beside the samples, so that a folder explains itself.
Json record_of(const SampleCommand& command, const Opened& opened, double seconds) {
  const SampleSetPlan& plan = opened.plan;
  Json record =
      walk_record(plan.weights, plan.sampler, command.samples.count, command.samples.batch, seconds);
  if (opened.codec.of_latents()) record["vae"] = opened.codec.hash();
  record["dtype"] = to_string(command.samples.compute.dtype);
  if (command.noise) {
    record["noise"] = *command.noise;
  } else {
    record["seed"] = command.common.seed.value_or(0);
  }
  return record;
}

// Of the pairs as they lie in the folder.
Tensor grid_of_pairs(const SampleCommand& command, const Opened& opened) {
  const PairDataset pairs(command.out, /*labels=*/false);
  const int64_t count = std::min(kGridImages, pairs.size());
  const Tensor x = torch::empty({count, pairs.channels(), pairs.image_size(), pairs.image_size()});
  const Tensor x_T = torch::empty_like(x[0]);
  for (int64_t i = 0; i < count; ++i) pairs.read(i, x_T.data_ptr<float>(), x[i].data_ptr<float>());
  return make_grid(to_uint8(decoded(command, opened, x)));
}

int make_pairs(const SampleCommand& command, const Opened& opened, const World& world) {
  const SampleSetPlan& plan = opened.plan;
  const PairSet& set = *opened.pairs;
  const auto take = [&](int64_t first, int64_t n) {
    const SampleNoise noise = noise_of(command, opened, first, n);
    return Walks{noise.x_T.cpu(), planned_samples(plan, *opened.model, noise, first, n),
                 rows_of(plan.labels, first, n)};
  };
  make_pairs(world, command.out, set, command.samples.batch, command.common.force, take);
  if (!world.is_first()) return 0;
  write_png(fs::path(command.out) / "grid.png", grid_of_pairs(command, opened));
  std::cout << set.count << " pairs of " << plan.weights.file.string() << " (" << plan.weights.why << ") by "
            << to_string(plan.sampler.kind) << ", " << evaluations(plan.sampler)
            << " evaluations each: " << command.out << '\n';
  return 0;
}

}  // namespace

int run_sample_command(const SampleCommand& command) {
  const Ranks ranks = join_ranks(command.common);
  const World& world = ranks.world;
  std::optional<Opened> opened;
  world.together([&] { opened = open_named(command, ranks.device); });
  if (command.pairs) return make_pairs(command, *opened, world);
  const SampleSetPlan& plan = opened->plan;
  const double start = seconds_now();
  const Tensor made = sample_all(command, *opened, world);
  const double seconds = seconds_now() - start;
  if (!world.is_first()) return 0;
  write_samples(command, *opened, made);
  const fs::path out = command.out;
  write_file_atomically(out / "samples.json", json_text(record_of(command, *opened, seconds), 2) + "\n");
  const int64_t count = command.samples.count;
  std::cout << count << " samples of " << plan.weights.file.string() << " (" << plan.weights.why << ") by "
            << to_string(plan.sampler.kind) << ", " << evaluations(plan.sampler) << " evaluations and "
            << shortest(std::round(1e5 * seconds / static_cast<double>(count)) / 100)
            << " ms each: " << (out / "samples.npz").string() << '\n';
  return 0;
}

}  // namespace cm
