// YAML files and values as trees.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "cm/yaml/mistakes.h"
#include "cm/yaml/node.h"

namespace cm {

// The mapping that a file holds; an empty file is an empty mapping. InputError when the file is missing, is
// no YAML ("run.yaml:3:7: not valid YAML: …"), holds anything but one mapping, is over 64 KiB, or uses what
// configs do without: anchors, aliases, tags, keys that are not words.
YamlNode load_yaml(const std::filesystem::path& path);

// As load_yaml, for `text`; `name` stands for the file's in messages.
YamlNode parse_yaml(const std::string& text, const std::string& name);

// One value of any kind, such as "[1, 2]"; every node of it gets `origin`. When it is no YAML, nothing, and a
// mistake.
std::optional<YamlNode> parse_yaml_value(const std::string& text, const Origin& origin, Mistakes& mistakes);

}  // namespace cm
