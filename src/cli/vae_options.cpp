#include "cm/cli/vae_options.h"

#include <CLI/CLI.hpp>
#include <filesystem>

#include "cm/base/error.h"
#include "cm/base/limits.h"
#include "cm/base/text.h"
#include "cm/cli/number_option.h"
#include "cm/run/run_config.h"
#include "cm/training/autoencoder_folder.h"
#include "cm/training/diffusers_folder.h"
#include "cm/training/run_files.h"
#include "cm/yaml/reader.h"

namespace cm {
namespace {

// A VAE's folder, and what names it.
struct NamedVae {
  std::string folder;
  std::string what;
};

// That of the config of the run that the weights lie in.
std::optional<NamedVae> vae_of_run(const ResolvedWeights& weights) {
  const auto origin = origin_of(weights);
  if (!origin) return std::nullopt;
  const std::filesystem::path config = origin->run / kRunConfig;
  if (!std::filesystem::exists(config)) return std::nullopt;
  const DataOptions data = read_config<RunConfig>(load_yaml(config.string()), {}).data;
  if (!data.latents || !data.latents->vae) return std::nullopt;
  return NamedVae{*data.latents->vae, concat(config.string(), ": data.latents.vae ", *data.latents->vae)};
}

NamedVae vae_of(const VaeOptions& options, const ResolvedWeights& weights) {
  if (options.folder) return {*options.folder, concat("--vae ", *options.folder)};
  if (const auto named = vae_of_run(weights)) return *named;
  if (const auto vae = vae_of_pipeline(weights.file)) return {vae->string(), vae->string()};
  throw InputError(concat(weights.file.string(),
                          ": is a model of latents, of which a VAE makes images; name its folder by --vae"));
}

}  // namespace

void add_vae_options(CLI::App& app, VaeOptions& options) {
  app.add_option("--vae", options.folder,
                 "of a model of latents: folder of the VAE that makes images of them, as diffusers saves it "
                 "(default: data.latents.vae of the run, or the vae of a diffusers pipeline)")
      ->type_name("FOLDER");
  add_number_option(app, "--vae-tile", options.tile,
                    "decode larger latents in tiles of this side, in latents, which takes less memory and "
                    "makes slightly other images",
                    within(kTileUnit, kLargestSide));
}

ImageCodec CodecOpener::open(const ResolvedWeights& weights, const ModelOptions& model) {
  if (!model.latents) {
    if (!options_.folder && !options_.tile) return {};
    throw InputError(concat(options_.folder ? "--vae" : "--vae-tile", ": ", weights.file.string(),
                            " is a model of pixels, which makes images itself; leave it out"));
  }
  const NamedVae named = vae_of(options_, weights);
  auto& vae = opened_[named.folder];
  if (!vae) vae = load_autoencoder(named.folder, {.device = device_, .limits = {.tile = options_.tile}});
  return {vae, *model.latents, model.image.channels, named.what};
}

}  // namespace cm
