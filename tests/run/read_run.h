// A training config of little more than what a test is about.
#pragma once

#include <string>
#include <vector>

#include "cm/run/run_config.h"
#include "cm/yaml/reader.h"

namespace cm {

// `text` behind the keys that every config needs.
inline RunConfig read_run(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const std::string needed = "data: {path: images}\nmodel: {channels: 32}\n";
  return read_config<RunConfig>(parse_yaml(needed + text, "run.yaml"), overrides);
}

}  // namespace cm
