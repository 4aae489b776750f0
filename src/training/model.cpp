#include "cm/training/model.h"

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/io/json.h"

namespace cm {
namespace {

constexpr const char* kFormat = "consistency.cpp 1";

// The networks take their time as they were published: the release feeds ADM 1000 · c_noise, EDM feeds the
// others c_noise.
double time_scale(Architecture architecture) {
  return architecture == Architecture::adm ? 1000 : 1;
}

ModelOptions options_from(const Metadata& metadata, const std::filesystem::path& path) {
  const auto format = metadata.find("format");
  const auto model = metadata.find("model");
  if (format == metadata.end() || format->second != kFormat || model == metadata.end()) {
    throw InputError(concat(path.string(), ": has no metadata of a model (format \"", kFormat,
                            "\"); it was not written by this framework's training"));
  }
  const Json json = Json::parse(model->second, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded())
    throw InputError(concat(path.string(), ": the model's metadata is not valid JSON"));
  ModelOptions options;
  set_from_json(json, concat(path.string(), ": model"), options);
  return options;
}

}  // namespace

Model::Model(const ModelOptions& options, const torch::Device& device, std::optional<uint64_t> seed)
    : options_(options), device_(device), network_(make_unet(options.network, options.image, seed)) {
  network_->to(device);
}

Denoiser Model::denoiser(const Tensor& labels, std::optional<DropoutKey> dropout) const {
  return precondition(options_.parameterization, options_.sigma, time_scale(options_.network.architecture),
                      [network = network_, labels, dropout](const Tensor& x, const Tensor& time) {
                        return network->forward(x, time, labels, dropout);
                      });
}

NamedTensors Model::named_weights(const std::vector<Tensor>& parameters) const {
  NamedTensors named = named_weights();
  size_t i = 0;
  for (const auto& parameter : network_->named_parameters()) named[parameter.key()] = parameters[i++];
  return named;
}

void Model::freeze() {
  for (auto& parameter : network_->parameters()) parameter.requires_grad_(false);
}

void save_weights(const std::filesystem::path& path, const ModelOptions& options,
                  const NamedTensors& weights) {
  save_safetensors(path, weights, {{"format", kFormat}, {"model", json_of(options).dump()}});
}

Model load_model(const std::filesystem::path& path, const torch::Device& device) {
  const SafetensorsFile file = load_safetensors(path);
  Model model(options_from(file.metadata, path), device);
  copy_weights(file.tensors, model.network(), path.string());
  model.freeze();
  return model;
}

ModelOptions read_model_options(const std::filesystem::path& path) {
  return options_from(read_safetensors_header(path).metadata, path);
}

void load_weights(const std::filesystem::path& path, Model& model) {
  copy_weights(load_safetensors(path).tensors, model.network(), path.string());
}

}  // namespace cm
