#include "cm/yaml/node.h"

#include <algorithm>

#include "cm/base/text.h"

namespace cm {
namespace {

constexpr size_t kLongestShown = 60;

// `text` on one line, cut when long.
std::string shown(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  if (text.size() <= kLongestShown) return text;
  size_t end = kLongestShown;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
    --end;  // not inside a UTF-8 character
  return text.substr(0, end) + "…";
}

}  // namespace

const YamlEntry* YamlNode::find(const std::string& key) const {
  const auto found =
      std::find_if(entries.begin(), entries.end(), [&](const auto& entry) { return entry.key == key; });
  return found == entries.end() ? nullptr : &*found;
}

YamlEntry* YamlNode::find(const std::string& key) {
  return const_cast<YamlEntry*>(static_cast<const YamlNode&>(*this).find(key));
}

std::string YamlNode::word() const {
  constexpr const char* kSpaces = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpaces);
  if (quoted || first == std::string::npos) return quoted ? text : "";
  return text.substr(first, text.find_last_not_of(kSpaces) + 1 - first);
}

std::string YamlNode::describe() const {
  switch (kind) {
    case Kind::null:
      return "nothing";
    case Kind::scalar:
      return concat(quoted ? "the string '" : "'", shown(text), "'");
    case Kind::list:
      return "a list";
    case Kind::mapping:
      return "a mapping";
  }
  return "";
}

}  // namespace cm
