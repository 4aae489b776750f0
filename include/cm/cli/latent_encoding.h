// The latents of cm-data --encode (cm/data/latents.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "cm/data/dataset.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace cm {

struct EncodeOptions {
  std::optional<std::string> vae = std::nullopt;  // its folder
  PixelRange pixels = PixelRange::symmetric;
  int64_t batch = 8;
  std::string device = "auto";
};

// Declares --encode, --pixels, --batch and --device, which need the option `out`.
void add_encode_options(CLI::App& app, EncodeOptions& options, CLI::Option* out);

// Encodes the first `count` images of the data, which were opened by `data`, into an archive that is not
// there, or is to be replaced (`anew`), by all ranks of this launch. Says on stdout what was made and its
// statistics. What was done when it is interrupted is kept beside the archive until the same call goes on.
// InputError for data that the VAE does not take.
void encode_data(const EncodeOptions& options, const DataOptions& data, const Dataset& dataset, int64_t count,
                 const std::filesystem::path& archive, bool anew);

}  // namespace cm
