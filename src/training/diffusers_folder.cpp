#include "cm/training/diffusers_folder.h"

#include <algorithm>
#include <array>

#include "cm/base/log.h"
#include "diffusers_config.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNetworkConfig = "config.json";
constexpr const char* kPipelineIndex = "model_index.json";
constexpr const char* kStem = "diffusion_pytorch_model";
constexpr const char* kWeights = "diffusion_pytorch_model.safetensors";
constexpr const char* kShards = "diffusion_pytorch_model.safetensors.index.json";
constexpr const char* kPipeline = "ConsistencyModelPipeline";
constexpr const char* kScheduler = "CMStochasticIterativeScheduler";
constexpr const char* kNetwork = "UNet2DModel";
constexpr const char* kDitPipeline = "DiTPipeline";
constexpr std::array kDitNetworks = {"DiTTransformer2DModel",
                                     "Transformer2DModel"};  // the second before 0.29

// --- What the weights are --------------------------------------------------------------------------------

// The folder above the network's, by its name where it has one.
fs::path pipeline_folder(const fs::path& network) {
  const bool named = network.has_filename() && network.filename() != "." && network.filename() != "..";
  const fs::path above = named ? network.parent_path() : network / "..";
  return above.empty() ? fs::path(".") : above;
}

std::optional<DiffusersConfig> config_at(const fs::path& path) {
  return fs::exists(path) ? std::optional<DiffusersConfig>(path) : std::nullopt;
}

// A class's name is text; with the module that it comes from, as custom pipelines and an index's parts have
// it, a list that ends in it. "" where there is none.
std::string class_in(const Json& json) {
  const Json& name = json.is_array() && !json.empty() ? json.back() : json;
  return name.is_string() ? name.get<std::string>() : "";
}

// What a pipeline's configs say of it; "" where they say nothing.
struct Kind {
  std::string pipeline;
  std::string scheduler;
  std::string prediction;
  std::string latents;  // the part that makes images of what its network makes
};

Kind kind_of(const DiffusersConfigs& configs) {
  Kind kind;
  if (const auto index = config_at(configs.index)) {
    kind.pipeline = class_in(index->get("_class_name", nullptr));
    kind.scheduler = class_in(index->get("scheduler", nullptr));
    for (const char* part : {"vae", "vqvae", "movq", "vqgan"}) {
      if (!class_in(index->get(part, nullptr)).empty()) kind.latents = part;
    }
  }
  if (const auto scheduler = config_at(configs.scheduler)) {
    const std::string name = class_in(scheduler->get("_class_name", nullptr));
    if (!name.empty()) kind.scheduler = name;
    const bool has_betas = !scheduler->get("beta_schedule", nullptr).is_null();
    kind.prediction = class_in(scheduler->get("prediction_type", has_betas ? "epsilon" : ""));
  }
  return kind;
}

// "a DDPMPipeline (DDPMScheduler, prediction_type epsilon)"
std::string described(const Kind& kind) {
  std::vector<std::string> parts;
  if (!kind.scheduler.empty()) parts.push_back(kind.scheduler);
  if (!kind.prediction.empty()) parts.push_back("prediction_type " + kind.prediction);
  if (!kind.latents.empty()) parts.push_back("on the latents of its " + kind.latents);
  return concat("a ", kind.pipeline.empty() ? "model" : kind.pipeline,
                parts.empty() ? "" : concat(" (", join(parts), ")"));
}

DiffusersModel check_pipeline(const DiffusersConfigs& configs) {
  const Kind kind = kind_of(configs);
  if (kind.pipeline == kDitPipeline) return DiffusersModel::dit;
  const auto is = [](const std::string& name, const char* ours) { return name.empty() || name == ours; };
  if (is(kind.pipeline, kPipeline) && is(kind.scheduler, kScheduler) && kind.latents.empty())
    return DiffusersModel::consistency_unet;
  throw InputError(concat(configs.index.parent_path().string(), ": holds ", described(kind),
                          "; of diffusers' models those of a ", kPipeline, " with ", kScheduler, ", or of a ",
                          kDitPipeline, ", can be sampled, or trained from"));
}

// --- Where they lie --------------------------------------------------------------------------------------

// The files whose names `is_wanted`, sorted.
template <class Wanted>
std::vector<std::string> files_in(const fs::path& folder, const Wanted& is_wanted) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && is_wanted(name)) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

bool is_variant(const std::string& name) {
  const bool is_shard = name.find("-of-") != std::string::npos;
  const bool is_file = name.starts_with(concat(kStem, ".")) && name.ends_with(".safetensors") && !is_shard;
  return is_file || (name.starts_with(concat(kWeights, ".index.")) && name.ends_with(".json"));
}

}  // namespace

DiffusersConfigs diffusers_configs(const fs::path& weights) {
  const fs::path network = weights.parent_path();
  const fs::path pipeline = pipeline_folder(network);
  return {.index = pipeline / kPipelineIndex,
          .scheduler = pipeline / "scheduler" / "scheduler_config.json",
          .network = network / kNetworkConfig,
          .vae = pipeline / "vae"};
}

fs::path weights_beside_config(const fs::path& network) {
  for (const char* name : {kWeights, kShards}) {
    if (fs::exists(network / name)) return network / name;
  }
  const auto variants = files_in(network, is_variant);
  if (variants.size() > 1) {
    throw InputError(concat(network.string(), ": has no ", kWeights,
                            " and several variants of it; name one: ", join(variants)));
  }
  if (!variants.empty()) {
    log_info(concat(network.string(), ": its only weights are those of a variant, ", variants.front()));
    return network / variants.front();
  }
  const auto pickled = files_in(
      network, [](const std::string& name) { return name.starts_with(kStem) && name.ends_with(".bin"); });
  if (!pickled.empty()) refuse_pickled(network / pickled.front());
  throw InputError(concat(network.string(), ": has a ", kNetworkConfig, " and no ", kWeights));
}

std::optional<fs::path> diffusers_weights(const fs::path& folder) {
  for (const fs::path& network : {folder / "unet", folder / "transformer", folder}) {
    if (!is_of_diffusers(network / kWeights)) continue;
    diffusers_model(network / kWeights);
    return weights_beside_config(network);
  }
  check_pipeline(diffusers_configs(folder / "unet" / kWeights));  // one without a network is not ours either
  return std::nullopt;
}

bool is_of_diffusers(const fs::path& weights) {
  const fs::path config = weights.parent_path() / kNetworkConfig;
  if (!fs::exists(config)) return false;
  const Json json = parse_json(read_file(config));
  return json.is_object() && json.contains("_class_name");
}

DiffusersModel diffusers_model(const fs::path& weights) {
  const DiffusersConfigs configs = diffusers_configs(weights);
  const DiffusersModel model = check_pipeline(configs);
  const DiffusersConfig network(configs.network);
  const std::string name = class_in(network.get("_class_name", nullptr));
  const bool of_dit = std::ranges::find(kDitNetworks, name) != kDitNetworks.end();
  switch (model) {
    case DiffusersModel::consistency_unet:
      if (name == kDitNetworks.front()) {
        network.reject("_class_name",
                       concat("is a transformer without its pipeline, which says at which noise "
                              "levels and of which VAE's latents; name a whole ",
                              kDitPipeline));
      }
      network.require("_class_name", nullptr, kNetwork);
      return model;
    case DiffusersModel::dit:
      if (!of_dit) network.reject("_class_name", concat("must be \"", kDitNetworks.front(), '"'));
      return model;
  }
  TORCH_INTERNAL_ASSERT(false, "not a model of diffusers'");
}

std::optional<fs::path> vae_of_pipeline(const fs::path& weights) {
  if (!is_of_diffusers(weights) || diffusers_model(weights) != DiffusersModel::dit) return std::nullopt;
  return diffusers_configs(weights).vae;
}

bool is_bare_unet(const fs::path& weights) {
  if (!is_of_diffusers(weights)) return false;
  const Kind kind = kind_of(diffusers_configs(weights));
  return kind.pipeline.empty() && kind.scheduler.empty();
}

void refuse_pickled(const fs::path& weights) {
  throw InputError(concat(weights.string(), ": is pickled; save the pipeline again with ",
                          "save_pretrained(FOLDER, safe_serialization=True), which makes ", kWeights));
}

}  // namespace cm
