// Weights on disk, in the formats that we read:
//
//   our own           one safetensors file with ModelOptions in its metadata; also what
//                     scripts/convert_checkpoint.py makes of other implementations' files
//   diffusers'        a U-Net's or a DiT's safetensors, whole or in shards, beside its config.json
//                     (diffusers_folder.h)
#pragma once

#include <filesystem>
#include <optional>

#include "cm/io/safetensors.h"
#include "cm/training/ema.h"
#include "cm/training/model_options.h"

namespace cm {

struct WeightFile {
  ModelOptions options;
  NamedTensors weights;  // under the names of options.network's parameters and buffers
};

// Reads a weight file. Where our metadata leaves the network open, it is the one that the weights' names and
// shapes belong to. InputError when the file is missing, broken, pickled, or does not say what it is.
WeightFile load_weight_file(const std::filesystem::path& path);

// The same without reading the weights: each is a tensor of the right shape on the meta device.
WeightFile read_weight_header(const std::filesystem::path& path);

// What makes a safetensors file of weights (a model's, or an average of them, whose state goes along) one in
// our own format.
Metadata weight_metadata(const ModelOptions& options,
                         const std::optional<AverageState>& average = std::nullopt);

// Writes `weights` with it.
void save_weights(const std::filesystem::path& path, const ModelOptions& options, const NamedTensors& weights,
                  const std::optional<AverageState>& average = std::nullopt);

// The state that weight_metadata put into a file's metadata; nullopt for weights that are no average, and for
// files that do not tell. InputError, with `where`, when it is damaged.
std::optional<AverageState> average_in(const Metadata& metadata, const std::string& where);

}  // namespace cm
