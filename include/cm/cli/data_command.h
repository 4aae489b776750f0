// The body of cm-data: the images that a configuration trains on, as files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cm/cli/latent_encoding.h"

namespace cm {

struct DataCommand {
  std::string config;                  // of a training run
  std::vector<std::string> overrides;  // key=value
  std::optional<int64_t> count;        // absent: all
  std::optional<std::string> out;      // one of both
  std::optional<std::string> to_zip;
  EncodeOptions encode = {};
  bool write_pngs = false;
  bool force = false;
};

// Writes the first `count` images of the configuration's data, in the data's own order and unmirrored, into
// `out` as cm-sample writes its samples: samples.npz (uint8 [N, S, S, C], with the classes if the data has
// any), grid.png of the first hundred, and PNGs if asked for. Every program that takes a folder of samples
// takes it. Or writes them into the archive `to_zip`, one image in memory at a time
// (cm/data/image_zip.h), or their latents into the archive `out` (cm/cli/latent_encoding.h). Returns 0.
// InputError for mistakes in the command, the config or the data, before anything is written.
int run_data_command(const DataCommand& command);

}  // namespace cm
