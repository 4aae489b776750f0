// A configuration with what its run would learn from data and weights, without either.
#pragma once

#include <filesystem>

#include "cm/run/run_config.h"

namespace cm {

struct NamedConfig {
  std::string name;  // "imagenet64/cd"
  RunConfig config;  // with its network
  ImageSpec image;
};

// The network of a config that has none is its teacher's: teacher.checkpoint runs/A/B is trained by A/B.yaml,
// in the same folder as the config's own folder A. `classes` are those of an image folder with labels, which
// only its data knows. `overrides` ("model.channels=448") are the command line's, and part of the name.
// InputError as read_config, and where the images' size is not in the config.
NamedConfig read_named_config(const std::filesystem::path& path, int64_t classes,
                              const std::vector<std::string>& overrides = {});

}  // namespace cm
