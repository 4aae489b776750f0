// YAML text as a plain tree of values, each with its place in the text.
#pragma once

#include <string>
#include <vector>

#include "cm/yaml/mistakes.h"

namespace cm {

struct YamlEntry;

struct YamlNode {
  enum class Kind { null, scalar, list, mapping };

  Kind kind = Kind::null;
  Origin origin;
  std::string text;                // of a scalar, without its quotes; of an override's, as typed
  bool quoted = false;             // a scalar in quotes is a string, whatever stands in it
  std::vector<YamlNode> items;     // of a list
  std::vector<YamlEntry> entries;  // of a mapping, in the order of the text, repeated keys included

  // The first entry with this key; nullptr when there is none or the node is no mapping.
  const YamlEntry* find(const std::string& key) const;
  YamlEntry* find(const std::string& key);

  // The text of a scalar without the spaces around it, unless it is quoted.
  std::string word() const;

  // What stands here, for "…, got X": "'ten'", "the string '3'" when quoted, "a list", "a mapping",
  // "nothing". One line, shortened when long.
  std::string describe() const;
};

struct YamlEntry {
  std::string key;
  Origin origin;  // of the key
  YamlNode value;
};

}  // namespace cm
