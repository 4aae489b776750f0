#include "cm/yaml/reader.h"

#include <algorithm>
#include <sstream>

#include "cm/base/text.h"
#include "cm/yaml/scalar.h"

namespace cm::detail {
namespace {

using Kind = YamlNode::Kind;

template <class T, class Parse>
bool read_scalar(const Slot& slot, const Parse& parse, T& value) {
  const bool plain = slot.node.kind == Kind::scalar && !slot.node.quoted;
  const std::optional<T> parsed = plain ? parse(slot.node.word()) : std::nullopt;
  if (!parsed) return slot.reject();
  value = *parsed;
  return true;
}

template <class T, class Parse>
bool read_in_range(const Slot& slot, const Parse& parse, T& value) {
  T parsed{};
  if (!read_scalar(slot, parse, parsed)) return false;
  if (!slot.range.contains(static_cast<double>(parsed))) {
    slot.mistakes.add(slot.node.origin,
                      concat(slot.key, " must be ", slot.range.describe(), ", got ", slot.node.word()));
    return false;
  }
  value = parsed;
  return true;
}

std::string hint_for(const std::string& key, const KnownKeys& known) {
  if (!known.contains(key)) return known.suggestion(key);
  return " (in a file, write each word of it as a section: dots are for the command line)";
}

}  // namespace

bool Slot::reject(const std::string& hint) const {
  mistakes.add(node.origin, concat(key, " must be ", expected, ", got ", node.describe(), hint));
  return false;
}

bool read_value(const Slot& slot, bool& value) {
  return read_scalar(slot, parse_bool, value);
}

bool read_value(const Slot& slot, int64_t& value) {
  return read_in_range(slot, parse_integer, value);
}

bool read_value(const Slot& slot, double& value) {
  return read_in_range(slot, parse_number, value);
}

bool read_value(const Slot& slot, std::string& value) {
  if (slot.node.kind != Kind::scalar) return slot.reject();
  value = slot.node.text;
  return true;
}

const Origin& Section::origin_of(const std::string& wanted) const {
  const Origin* found = &origin;
  const YamlNode* section = &node;
  std::istringstream words(wanted);
  for (std::string word; std::getline(words, word, '.');) {
    const YamlEntry* entry = section->find(word);
    if (!entry) break;
    section = &entry->value;
    found = section->kind == Kind::mapping ? &entry->origin : &section->origin;
  }
  return *found;
}

void check_keys(const Section& section, const std::vector<std::string>& allowed, const KnownKeys& known,
                Mistakes& mistakes) {
  for (const auto& entry : section.node.entries) {
    const std::string key = dotted(section.key, entry.key);
    const Origin& first = section.node.find(entry.key)->origin;
    if (&first != &entry.origin) {
      mistakes.add(entry.origin,
                   concat("'", key, "' stands here a second time; the first is at ", first.where));
    } else if (std::find(allowed.begin(), allowed.end(), entry.key) == allowed.end()) {
      mistakes.add(entry.origin, concat("unknown key '", key, "'", hint_for(key, known)));
    }
  }
}

}  // namespace cm::detail
