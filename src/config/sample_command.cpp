#include "cm/config/sample_command.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <iostream>

#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/config/image_output.h"
#include "cm/io/json.h"
#include "cm/training/replay.h"

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

Tensor sample_all(const SampleCommand& command, const SampleSetPlan& plan, const Model& model) {
  std::optional<Replay> replay;
  if (command.noise) replay.emplace(*command.noise, plan.model.image, command.samples.count);
  const uint64_t seed = command.common.seed.value_or(0);
  return in_batches("sampling", command.samples.count, command.samples.batch, [&](int64_t first, int64_t n) {
    const SampleNoise noise =
        replay ? replay->batch(first, n) : seeded_noise(plan.model, plan.sampler, seed, first, n);
    return planned_samples(plan, model, noise, first, n);
  });
}

// What was done, beside the samples, so that a folder explains itself.
Json record_of(const SampleCommand& command, const SampleSetPlan& plan, double seconds) {
  Json record =
      walk_record(plan.weights, plan.sampler, command.samples.count, command.samples.batch, seconds);
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
  check_output(output_of(command), command.common.force);
  const torch::Device device = parse_device(command.common.device);
  const SampleSetPlan plan = plan_samples(command.checkpoint, command.ema, command.samples);
  const Model model = load_model(plan.weights, device);
  const auto start = std::chrono::steady_clock::now();
  const Tensor x = sample_all(command, plan, model);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  write_images(output_of(command), x, plan.labels, grid_of(command, x));
  const fs::path out = command.out;
  write_file_atomically(out / "samples.json", record_of(command, plan, seconds).dump(2) + "\n");
  const int64_t count = command.samples.count;
  std::cout << count << " samples of " << plan.weights.string() << " by " << to_string(plan.sampler.kind)
            << ", " << evaluations(plan.sampler) << " evaluations and "
            << shortest(std::round(1e5 * seconds / static_cast<double>(count)) / 100)
            << " ms each: " << (out / "samples.npz").string() << '\n';
  return 0;
}

}  // namespace cm
