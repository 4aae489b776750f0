#include "cm/yaml/overrides.h"

#include <sstream>

#include "cm/base/text.h"
#include "cm/yaml/parser.h"

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

// As YAML has it.
bool is_null(const std::string& word) {
  return word.empty() || word == "~" || word == "null" || word == "Null" || word == "NULL";
}

// Whether YAML's quotes stand around the whole of it: "a # b", 'it''s'; not 's Hertogenbosch.
bool is_in_quotes(const std::string& word) {
  const char quote = word.empty() ? ' ' : word.front();
  if (quote != '"' && quote != '\'') return false;
  size_t i = 1;
  for (; i < word.size(); ++i) {
    const bool doubled = quote == '\'' && word.compare(i, 2, "''") == 0;
    if (doubled || (quote == '"' && word[i] == '\\')) {
      ++i;
    } else if (word[i] == quote) {
      break;
    }
  }
  return i + 1 == word.size();
}

// What was typed for `key`: YAML where it takes a section or a list, or stands in quotes; otherwise null, or
// the text as it is. Nothing, and a mistake, for what is no YAML where it has to be.
std::optional<YamlNode> value_of(const std::string& key, const std::string& text, const KnownKeys& known,
                                 const Origin& origin, Mistakes& mistakes) {
  YamlNode typed;
  typed.kind = YamlNode::Kind::scalar;
  typed.origin = origin;
  typed.text = text;
  const std::string word = typed.word();
  if (!known.is_scalar(key) || is_in_quotes(word)) return parse_yaml_value(text, origin, mistakes);
  if (is_null(word)) typed.kind = YamlNode::Kind::null;
  return typed;
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
    } else if (auto value = value_of(key, typed.substr(equals + 1), known, origin, mistakes)) {
      if (YamlNode* place = place_for(key, origin, root)) *place = std::move(*value);
    }
  }
}

}  // namespace cm
