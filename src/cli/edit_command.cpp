#include "cm/cli/edit_command.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <iostream>

#include "class_labels.h"
#include "cm/base/clock.h"
#include "cm/base/files.h"
#include "cm/base/log.h"
#include "cm/base/text.h"
#include "cm/cli/compute_options.h"
#include "cm/distributed/launch.h"
#include "cm/distributed/spread.h"
#include "cm/training/checkpoint.h"
#include "edit_input.h"
#include "image_output.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFrames = 8;  // of an interpolation
constexpr int64_t kTilesInGrid = 100;
constexpr int64_t kRowsInGrid = 10;

ImageOutput output_of(const EditOptions& options) {
  return {.folder = options.out,
          .image = "result",
          .write_float = options.write_float,
          .write_pngs = options.write_pngs,
          .quantization = Quantization::nearest};
}

// interpolate has no pictures, and one class unless told otherwise.
EditInput input_of(const EditOptions& options, const ImageSpec& image) {
  if (options.task != EditTask::interpolate) return read_edit_input(options, image);
  const auto classes = options.classes || image.classes == 0 ? options.classes : "0";
  EditInput input;
  input.labels = class_labels(classes, image.classes, options.count.value_or(kFrames));
  return input;
}

// What makes the results, and pictures of them.
struct EditBench {
  Model model;
  ImageCodec codec;
  int64_t batch;

  // function(rows) of whatever has a row a result, batch by batch on the model's device.
  Tensor of_all(const Tensor& rows, const std::function<Tensor(const Tensor& rows)>& function) const {
    const auto make = [&](int64_t first, int64_t n) {
      return function(rows.narrow(0, first, n).to(model.device()));
    };
    return spread_batches(World(), rows.size(0), batch, make);
  }
};

// The pictures as the model sees them.
EditPictures seen_by_model(const EditInput& input, const EditBench& bench) {
  EditPictures pictures = input;
  if (!bench.codec.of_latents() || !pictures.reference.defined()) return pictures;
  pictures.reference =
      bench.of_all(pictures.reference, [&](const Tensor& rows) { return bench.codec.encode(rows); });
  return pictures;
}

// What the model was given, where that is not the pictures themselves: the known part, or the noisy pictures.
NamedTensors given_to_model(const EditOptions& options, const EditPictures& pictures, const BatchDraws& draws,
                            const EditBench& bench) {
  if (const auto constraint = constraint_of(options, pictures)) return {{"known", known_part(*constraint)}};
  if (!options.add_noise) return {};
  const Tensor noisy = edit_start(options, pictures, std::nullopt, draws(0, pictures.reference.size(0)).x_T);
  if (!bench.codec.of_latents()) return {{"noisy", noisy}};
  return {{"noisy", bench.of_all(noisy, [&](const Tensor& rows) { return bench.codec.decode(rows); })}};
}

// One row a result: the picture, what the model was given if that is another (luma as grey), the result. Many
// results stand side by side; those of interpolate follow one another.
Tensor grid_of(const EditOptions& options, const EditInput& input, const NamedTensors& given,
               const Tensor& x) {
  std::vector<Tensor> columns;
  if (input.reference.defined()) columns.push_back(input.reference);
  for (const auto& [name, tensor] : given) {
    columns.push_back(options.task == EditTask::colorize ? grey_level(tensor).expand_as(tensor) : tensor);
  }
  columns.push_back(x);
  const auto width = static_cast<int64_t>(columns.size());
  const int64_t shown = std::min(x.size(0), kTilesInGrid / width);
  const int64_t side_by_side =
      width == 1 ? std::min(shown, kRowsInGrid) : (shown + kRowsInGrid - 1) / kRowsInGrid;
  for (auto& column : columns) column = to_uint8(column.narrow(0, 0, shown));
  return make_grid(torch::stack(columns, 1).flatten(0, 1), width * side_by_side);
}

// The options that decide a result, as given, and what was found at --input.
Json record_of(const EditOptions& options, const EditInput& input) {
  Json record = {{"task", to_string(options.task)}};
  if (options.input) record["input"] = *options.input;
  if (options.mask) record["mask"] = *options.mask;
  if (!options.box.empty()) record["box"] = options.box;
  if (options.factor) {
    record["factor"] = *options.factor;
    record["small_pictures"] = input.small_pictures;
  }
  if (options.sigma) record["sigma"] = *options.sigma;
  if (options.add_noise) record["add_noise"] = true;
  if (options.classes) record["class"] = *options.classes;
  if (options.noise) {
    record["noise"] = *options.noise;
  } else if (!options.seeds.empty()) {
    record["seeds"] = options.seeds;
  } else {
    record["seed"] = options.common.seed.value_or(0);
  }
  record["pictures"] = input.pictures;
  return record;
}

void report(const EditOptions& options, const ResolvedWeights& weights, const SamplerOptions& sampler,
            int64_t count, double seconds) {
  std::cout << to_string(options.task) << ": " << count << " results of " << weights.file.string() << " ("
            << weights.why << "), " << evaluations(sampler) << " evaluations and "
            << shortest(std::round(1e5 * seconds / static_cast<double>(count)) / 100)
            << " ms each: " << (fs::path(options.out) / "results.npz").string() << '\n';
}

}  // namespace

int run_edit_command(const EditOptions& options) {
  check_alone(launch_of_this_process(), "cm-edit");
  check_options(options);
  check_output(output_of(options), options.common.force);
  const torch::Device device = parse_device(options.common.device);
  const ResolvedWeights weights = resolve_weights(options.checkpoint, options.weights);
  const ModelOptions model_options = read_weight_header(weights).options;
  const SamplerOptions sampler = edit_walk(options, model_options);
  const ImageCodec codec = CodecOpener(options.vae, device).open(weights, model_options);
  const EditInput input = input_of(options, codec.images_of(model_options.image));
  const int64_t count = input.reference.defined() ? input.reference.size(0) : options.count.value_or(kFrames);
  const uint64_t seed = options.common.seed.value_or(0);
  const BatchDraws draws = edit_draws(options, model_options, sampler, seed, count);
  const EditBench bench{.model = open_model(weights, sampler.guide, device, options.compute),
                        .codec = codec,
                        .batch = options.batch};
  const EditPictures pictures = seen_by_model(input, bench);
  const double start = seconds_now();
  const auto make = [&](int64_t first, int64_t n) {
    return codec.decode(edit(bench.model, options, sampler, pictures.rows(first, n), draws(first, n)));
  };
  const Tensor x = spread_batches(World(), count, options.batch, make, to_string(options.task));
  const double seconds = seconds_now() - start;

  const NamedTensors given = given_to_model(options, pictures, draws, bench);
  write_images(output_of(options), x, input.labels, grid_of(options, input, given, x), given);
  Json record = record_of(options, input);
  record.update(walk_record(weights, sampler, count, options.batch, seconds));
  record["dtype"] = to_string(options.compute.dtype);
  if (codec.of_latents()) record["vae"] = codec.hash();
  write_file_atomically(fs::path(options.out) / "edit.json", json_text(record, 2) + "\n");
  for (const auto& remark : input.remarks) log_warning(remark);
  report(options, weights, sampler, count, seconds);
  return 0;
}

}  // namespace cm
