// `key=value` overrides of the command line.
#pragma once

#include <string>
#include <vector>

#include "cm/yaml/known_keys.h"
#include "cm/yaml/mistakes.h"
#include "cm/yaml/node.h"

namespace cm {

// Sets or adds the entries of `root` that `overrides` name ("train.steps=1000", "model.channel_mult=[1, 2]",
// "data.path=set #2"); of several for one key the last wins. A list or section is YAML; any other value is
// what was typed after the =, to the last character, unless it is null or nothing (null) or stands in quotes,
// which are YAML's and make it a string. An override that is malformed, or whose key is not in `known`,
// changes nothing and is added to `mistakes`. One that leads through a value that is no section changes
// nothing either: the reader rejects that value.
void apply_overrides(const std::vector<std::string>& overrides, const KnownKeys& known, YamlNode& root,
                     Mistakes& mistakes);

}  // namespace cm
