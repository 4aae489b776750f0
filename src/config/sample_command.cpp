#include "cm/config/sample_command.h"

#include <charconv>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <sstream>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/progress.h"
#include "cm/base/text.h"
#include "cm/io/json.h"
#include "cm/io/npz.h"
#include "cm/training/checkpoint.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kGridImages = 100;

void check_command(const SampleCommand& command) {
  if (command.count < 1) throw InputError(concat("--num must be at least 1, got ", command.count));
  if (command.batch < 1) throw InputError(concat("--batch must be at least 1, got ", command.batch));
  const fs::path samples = fs::path(command.out) / "samples.npz";
  if (fs::exists(samples) && !command.common.force) {
    throw InputError(concat(samples.string(), ": exists already; --force writes over it"));
  }
  if (fs::exists(command.out) && !fs::is_directory(command.out)) {
    throw InputError(concat("--out ", command.out, ": is a file; name a folder"));
  }
}

// Draws that were made elsewhere, sliced into batches.
class Replay {
 public:
  Replay(const std::string& path, const ModelOptions& model, int64_t count)
      : path_(path),
        file_(load_safetensors(path)),
        shape_{count, model.image.channels, model.image.size, model.image.size} {
    for (const auto& [name, tensor] : file_.tensors) {
      if (name != "x_T" && !name.starts_with("noise.")) continue;
      if (tensor.dim() != 4 || tensor.size(0) < count ||
          tensor.sizes().slice(1) != at::IntArrayRef(shape_).slice(1)) {
        throw InputError(concat(path, ": ", name, " must have the shape ", at::IntArrayRef(shape_), ", got ",
                                tensor.sizes()));
      }
    }
    find("x_T");
  }

  SampleNoise batch(int64_t first, int64_t count) const {
    return {find("x_T").narrow(0, first, count).to(torch::kFloat32), [this, first, count](int64_t step) {
              return find(concat("noise.", step)).narrow(0, first, count).to(torch::kFloat32);
            }};
  }

 private:
  const Tensor& find(const std::string& name) const {
    const auto found = file_.tensors.find(name);
    if (found == file_.tensors.end())
      throw InputError(concat(path_, ": has no tensor ", name, ", which this sampler draws"));
    return found->second;
  }

  std::string path_;
  SafetensorsFile file_;
  std::vector<int64_t> shape_;
};

// What was done, beside the samples, so that a folder explains itself.
Json record_of(const SampleCommand& command, const fs::path& weights, const SamplerOptions& sampler,
               double seconds) {
  Json record = {{"checkpoint", weights.string()},
                 {"sampler", to_string(sampler.kind)},
                 {"sigmas", sampler.sigmas},
                 {"evaluations", evaluations(sampler)},
                 {"count", command.count},
                 {"batch", command.batch},
                 {"milliseconds_per_image", 1000 * seconds / static_cast<double>(command.count)}};
  if (command.noise) {
    record["noise"] = *command.noise;
  } else {
    record["seed"] = command.common.seed.value_or(0);
  }
  return record;
}

Tensor sample_all(const SampleCommand& command, const Model& model, const SamplerOptions& sampler,
                  const Tensor& labels) {
  std::optional<Replay> replay;
  if (command.noise) replay.emplace(*command.noise, model.options(), command.count);
  const uint64_t seed = command.common.seed.value_or(0);
  std::vector<Tensor> parts;
  Progress progress("sampling", command.count);
  for (int64_t first = 0; first < command.count; first += command.batch) {
    const int64_t count = std::min(command.batch, command.count - first);
    const SampleNoise noise =
        replay ? replay->batch(first, count) : seeded_noise(model.options(), sampler, seed, first, count);
    const Tensor part_labels = labels.defined() ? labels.narrow(0, first, count) : labels;
    parts.push_back(sample(model, sampler, noise, part_labels).cpu());
    progress.update(first + count);
  }
  return torch::cat(parts);
}

void write_outputs(const SampleCommand& command, const Tensor& x, const Tensor& labels) {
  const fs::path out = command.out;
  fs::create_directories(out);
  const Tensor pixels = to_uint8(x, command.quantization);
  NpzArrays arrays = {{"arr_0", pixels.permute({0, 2, 3, 1}).contiguous()}};
  if (labels.defined()) arrays["arr_1"] = labels;
  if (command.write_float) save_safetensors(out / "samples.safetensors", {{"x", x}});
  if (command.write_pngs) {
    for (int64_t i = 0; i < pixels.size(0); ++i) {
      write_png(out / concat("sample-", std::setw(6), std::setfill('0'), i, ".png"), pixels[i]);
    }
  }
  write_png(out / "grid.png", make_grid(pixels.narrow(0, 0, std::min(kGridImages, pixels.size(0)))));
  save_npz(out / "samples.npz", arrays);
}

int64_t class_of(const std::string& word, int64_t available) {
  int64_t value = -1;
  const auto end = std::from_chars(word.data(), word.data() + word.size(), value);
  if (end.ptr != word.data() + word.size() || value < 0 || value >= available) {
    throw InputError(
        concat("--class must be 'all' or classes in 0 … ", available - 1, ", as 3 or 3,5, got '", word, "'"));
  }
  return value;
}

}  // namespace

Tensor sample_labels(const std::optional<std::string>& classes, int64_t available, int64_t count) {
  if (available == 0) {
    if (classes) throw InputError("--class: this model was trained without classes");
    return {};
  }
  std::vector<int64_t> list;
  if (!classes || *classes == "all") {
    for (int64_t i = 0; i < available; ++i) list.push_back(i);
  } else {
    std::istringstream words(*classes);
    for (std::string word; std::getline(words, word, ',');) list.push_back(class_of(word, available));
    if (list.empty() || classes->ends_with(',')) class_of(*classes, available);
  }
  Tensor labels = torch::empty({count}, torch::kInt64);
  for (int64_t i = 0; i < count; ++i) {
    labels.data_ptr<int64_t>()[i] = list[static_cast<size_t>(i) % list.size()];
  }
  return labels;
}

int run_sample_command(const SampleCommand& command) {
  check_command(command);
  const torch::Device device = parse_device(command.common.device);
  const fs::path file = resolve_weights(command.checkpoint, command.ema);
  const ModelOptions options = read_weight_header(file).options;
  const SamplerOptions sampler = choose_sampler(command.request, options);
  const Tensor labels = sample_labels(command.classes, options.image.classes, command.count);
  const Model model = load_model(file, device);
  const auto start = std::chrono::steady_clock::now();
  const Tensor x = sample_all(command, model, sampler, labels);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  write_outputs(command, x, labels);
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
