#include "cm/config/sample_command.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <iostream>

#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/config/class_labels.h"
#include "cm/config/image_output.h"
#include "cm/io/json.h"
#include "cm/training/checkpoint.h"
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
          .quantization = command.quantization};
}

void check_command(const SampleCommand& command) {
  check_counts(command.count, command.batch);
  check_output(output_of(command), command.common.force);
}

Tensor sample_all(const SampleCommand& command, const Model& model, const SamplerOptions& sampler,
                  const Tensor& labels) {
  std::optional<Replay> replay;
  if (command.noise) replay.emplace(*command.noise, model.options().image, command.count);
  const uint64_t seed = command.common.seed.value_or(0);
  return in_batches("sampling", command.count, command.batch, [&](int64_t first, int64_t n) {
    const SampleNoise noise =
        replay ? replay->batch(first, n) : seeded_noise(model.options(), sampler, seed, first, n);
    return sample(model, sampler, noise, labels.defined() ? labels.narrow(0, first, n) : labels);
  });
}

// What was done, beside the samples, so that a folder explains itself.
Json record_of(const SampleCommand& command, const fs::path& weights, const SamplerOptions& sampler,
               double seconds) {
  Json record = walk_record(weights, sampler, command.count, command.batch, seconds);
  if (command.noise) {
    record["noise"] = *command.noise;
  } else {
    record["seed"] = command.common.seed.value_or(0);
  }
  return record;
}

Tensor grid_of(const SampleCommand& command, const Tensor& x) {
  const Tensor shown = x.narrow(0, 0, std::min(kGridImages, x.size(0)));
  return make_grid(to_uint8(shown, command.quantization));
}

}  // namespace

int run_sample_command(const SampleCommand& command) {
  check_command(command);
  const torch::Device device = parse_device(command.common.device);
  const fs::path file = resolve_weights(command.checkpoint, command.ema);
  const ModelOptions options = read_weight_header(file).options;
  const SamplerOptions sampler = choose_sampler(command.request, options);
  const Tensor labels = class_labels(command.classes, options.image.classes, command.count);
  const Model model = load_model(file, device);
  const auto start = std::chrono::steady_clock::now();
  const Tensor x = sample_all(command, model, sampler, labels);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  write_images(output_of(command), x, labels, grid_of(command, x));
  const fs::path out = command.out;
  const Json record = record_of(command, file, sampler, seconds);
  write_file_atomically(out / "samples.json", record.dump(2) + "\n");
  std::cout << command.count << " samples of " << file.string() << " by " << to_string(sampler.kind) << ", "
            << evaluations(sampler) << " evaluations and "
            << shortest(std::round(1e5 * seconds / static_cast<double>(command.count)) / 100)
            << " ms each: " << (out / "samples.npz").string() << '\n';
  return 0;
}

}  // namespace cm
