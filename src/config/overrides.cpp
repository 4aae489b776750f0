#include "cm/config/overrides.h"

#include <sstream>

#include "cm/base/text.h"
#include "cm/config/yaml_parser.h"

namespace cm {
namespace {

// The value at `key`, made where it is missing; nullptr when the way there leads through a value that is no
// section.
YamlNode* place_for(const std::string& key, const Origin& origin, YamlNode& root) {
  YamlNode* node = &root;
  std::istringstream words(key);
  for (std::string word; std::getline(words, word, '.');) {
    if (node->kind == YamlNode::Kind::null) node->kind = YamlNode::Kind::mapping;
    if (node->kind != YamlNode::Kind::mapping) return nullptr;
    YamlEntry* entry = node->find(word);
    node = entry ? &entry->value : &node->entries.emplace_back(YamlEntry{word, origin, {}}).value;
  }
  return node;
}

}  // namespace

void apply_overrides(const std::vector<std::string>& overrides, const KnownKeys& known, YamlNode& root,
                     Mistakes& mistakes) {
  for (size_t i = 0; i < overrides.size(); ++i) {
    const std::string& typed = overrides[i];
    const Origin origin = Origin::override_of(typed, static_cast<int64_t>(i));
    const size_t equals = typed.find('=');
    const std::string key = typed.substr(0, equals);
    if (equals == std::string::npos || key.empty()) {
      mistakes.add(origin, "must be key=value, as in train.steps=1000");
    } else if (!known.contains(key)) {
      mistakes.add(origin, concat("unknown key '", key, "'", known.suggestion(key)));
    } else if (auto value = parse_yaml_value(typed.substr(equals + 1), origin, mistakes)) {
      if (YamlNode* place = place_for(key, origin, root)) *place = std::move(*value);
    }
  }
}

}  // namespace cm
