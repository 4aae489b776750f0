#include "cm/yaml/field_help.h"

namespace cm {

std::string describe(const std::vector<FieldHelp>& keys) {
  std::string text;
  for (const auto& key : keys) {
    text += concat(key.key, ": ", key.type);
    if (!key.range.empty()) text += concat(", ", key.range);
    if (!key.default_value.empty()) text += concat(" (default ", key.default_value, ")");
    text += concat("\n    ", key.help, "\n");
  }
  return text;
}

}  // namespace cm
