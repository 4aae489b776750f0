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
#include "ranks.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kGridImages = 100;

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
  std::optional<Replay> replay;
};

Opened open_named(const SampleCommand& command, const torch::Device& device) {
  check_output(output_of(command), command.common.force);
  Opened opened{.plan = plan_samples(command.checkpoint, command.weights, command.samples),
                .model = std::nullopt,
                .replay = std::nullopt};
  opened.model = open_model(opened.plan.weights, opened.plan.sampler.guide, device, command.samples.compute);
  if (command.noise) opened.replay.emplace(*command.noise, opened.plan.model.image, command.samples.count);
  return opened;
}

Tensor sample_all(const SampleCommand& command, const Opened& opened, const World& world) {
  const SampleSetPlan& plan = opened.plan;
  const uint64_t seed = command.common.seed.value_or(0);
  const auto make = [&](int64_t first, int64_t n) {
    const SampleNoise noise = opened.replay ? opened.replay->batch(first, n)
                                            : seeded_noise(plan.model, plan.sampler, seed, first, n);
    return planned_samples(plan, *opened.model, noise, first, n);
  };
  return spread_batches(world, command.samples.count, command.samples.batch, make, "sampling");
}

// What was done, beside the samples, so that a folder explains itself.
Json record_of(const SampleCommand& command, const SampleSetPlan& plan, double seconds) {
  Json record =
      walk_record(plan.weights, plan.sampler, command.samples.count, command.samples.batch, seconds);
  record["dtype"] = to_string(command.samples.compute.dtype);
  if (command.noise) {
    record["noise"] = *command.noise;
  } else {
    record["seed"] = command.common.seed.value_or(0);
  }
  return record;
}

Tensor grid_of(const SampleCommand& command, const Tensor& x) {
  const Tensor shown = x.narrow(0, 0, std::min(kGridImages, x.size(0)));
  return make_grid(to_uint8(shown, command.samples.quantization));
}

}  // namespace

int run_sample_command(const SampleCommand& command) {
  const Ranks ranks = join_ranks(command.common);
  const World& world = ranks.world;
  std::optional<Opened> opened;
  world.together([&] { opened = open_named(command, ranks.device); });
  const SampleSetPlan& plan = opened->plan;
  const double start = seconds_now();
  const Tensor x = sample_all(command, *opened, world);
  const double seconds = seconds_now() - start;
  if (!world.is_first()) return 0;
  write_images(output_of(command), x, plan.labels, grid_of(command, x));
  const fs::path out = command.out;
  write_file_atomically(out / "samples.json", json_text(record_of(command, plan, seconds), 2) + "\n");
  const int64_t count = command.samples.count;
  std::cout << count << " samples of " << plan.weights.file.string() << " (" << plan.weights.why << ") by "
            << to_string(plan.sampler.kind) << ", " << evaluations(plan.sampler) << " evaluations and "
            << shortest(std::round(1e5 * seconds / static_cast<double>(count)) / 100)
            << " ms each: " << (out / "samples.npz").string() << '\n';
  return 0;
}

}  // namespace cm
