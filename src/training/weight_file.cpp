#include "cm/training/weight_file.h"

#include <algorithm>
#include <array>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/io/json.h"
#include "cm/training/diffusers_folder.h"
#include "diffusers.h"
#include "diffusers_dit.h"

namespace cm {
namespace {

constexpr const char* kFormat = "consistency.cpp 1";
constexpr const char* kAverage = "average";

// Refuses what torch.save wrote by its name: pickles are not read here.
void check_format(const std::filesystem::path& path) {
  constexpr std::array<std::string_view, 5> kPickles = {".pt", ".pth", ".pkl", ".ckpt", ".bin"};
  if (std::ranges::find(kPickles, path.extension().string()) == kPickles.end()) return;
  if (!std::filesystem::exists(path)) return;
  if (is_of_diffusers(path)) refuse_pickled(path);
  throw InputError(concat(path.string(),
                          ": holds PyTorch's pickled weights, and safetensors are read here; "
                          "scripts/convert_checkpoint.py makes a weight file of it"));
}

// A network that is written by us has its architecture named, or its channels.
bool names_network(const Json& model) {
  return model.contains("network") &&
         (model["network"].contains("architecture") || model["network"].contains("channels"));
}

// What shapes cannot tell (a side in pixels, attention heads) must be in the metadata; what it says of the
// rest goes before what the shapes say.
ModelOptions options_from(const SafetensorsFile& file, const std::filesystem::path& path) {
  const auto format = file.metadata.find("format");
  const auto model = file.metadata.find("model");
  if (format == file.metadata.end() || format->second != kFormat || model == file.metadata.end()) {
    throw InputError(
        concat(path.string(), ": has no metadata of a model (format \"", kFormat,
               "\"); weights of another implementation become such a file by scripts/convert_checkpoint.py"));
  }
  const Json json = parse_json(model->second);
  if (json.is_discarded())
    throw InputError(concat(path.string(), ": the model's metadata is not valid JSON"));
  const std::string where = concat(path.string(), ": model");
  ModelOptions options;
  set_from_json(json, where, options);
  if (!names_network(json)) {
    const InferredNetwork inferred = infer_network(file.tensors, options.image.size, path.string());
    options.network = inferred.network;
    options.image = inferred.image;
    set_from_json(json, where, options);
  }
  return options;
}

WeightFile weight_file(SafetensorsFile file, const std::filesystem::path& path) {
  if (!is_of_diffusers(path)) return {options_from(file, path), std::move(file.tensors)};
  const ModelOptions options = read_diffusers_options(path);
  if (const auto* dit = std::get_if<DitOptions>(&options.network))
    return {options, from_diffusers(std::move(file.tensors), *dit, path.string())};
  return {options,
          from_diffusers(std::move(file.tensors), std::get<AdmOptions>(options.network), options.image)};
}

}  // namespace

WeightFile load_weight_file(const std::filesystem::path& path) {
  check_format(path);
  return weight_file(load_safetensors(path), path);
}

WeightFile read_weight_header(const std::filesystem::path& path) {
  check_format(path);
  const SafetensorsHeader header = read_safetensors_header(path);
  SafetensorsFile file{.tensors = {}, .metadata = header.metadata};
  for (const auto& [name, info] : header.tensors) {
    file.tensors[name] = torch::empty(info.shape, torch::kMeta);
  }
  return weight_file(std::move(file), path);
}

Metadata weight_metadata(const ModelOptions& options, const std::optional<AverageState>& average) {
  Metadata metadata = {{"format", kFormat}, {"model", json_text(json_of(options))}};
  if (average) metadata[kAverage] = json_text(json_of(*average));
  return metadata;
}

void save_weights(const std::filesystem::path& path, const ModelOptions& options, const NamedTensors& weights,
                  const std::optional<AverageState>& average) {
  save_safetensors(path, weights, weight_metadata(options, average));
}

std::optional<AverageState> average_in(const Metadata& metadata, const std::string& where) {
  const std::string text = metadata_at(metadata, kAverage);
  if (text.empty()) return std::nullopt;
  const Json json = parse_json(text);
  if (!json.is_object()) throw InputError(concat(where, ": the average's metadata is not a JSON object"));
  AverageState average;
  set_from_json(json, concat(where, ": ", kAverage), average);
  return average;
}

}  // namespace cm
