// Option structs from YAML and `key=value` overrides, through their `fields` (cm/base/fields.h).
//
//   const auto options = read_config<RunOptions>(load_yaml("run.yaml"), {"train.steps=1000"});
//
// A key that is absent keeps its default. Unknown keys, wrong types, numbers out of range and what `validate`
// finds are all collected and reported together, each with its place and, where there is one, the word that
// was probably meant.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cm/yaml/field_help.h"
#include "cm/yaml/known_keys.h"
#include "cm/yaml/mistakes.h"
#include "cm/yaml/node.h"
#include "cm/yaml/overrides.h"
#include "cm/yaml/parser.h"
#include "cm/yaml/value_type.h"

namespace cm {
namespace detail {

// A value of the file on its way into a field.
struct Slot {
  const YamlNode& node;
  std::string key;       // dotted, "ema.rates[1]" for an entry of a list
  std::string expected;  // type_phrase of the field
  Range range;
  Mistakes& mistakes;

  // Adds "KEY must be EXPECTED, got …HINT"; false, for the caller to return.
  bool reject(const std::string& hint = "") const;
};

// Each sets `value` and returns true, or adds a mistake and returns false.
bool read_value(const Slot& slot, bool& value);
bool read_value(const Slot& slot, int64_t& value);
bool read_value(const Slot& slot, double& value);
bool read_value(const Slot& slot, std::string& value);

template <NamedEnum T>
bool read_value(const Slot& slot, T& value) {
  const bool scalar = slot.node.kind == YamlNode::Kind::scalar;
  const std::string word = slot.node.word();
  const auto parsed = scalar ? from_name<T>(word) : std::nullopt;
  if (!parsed) return slot.reject(scalar ? did_you_mean(word, all_names<T>()) : "");
  value = *parsed;
  return true;
}

template <Worded T>
bool read_value(const Slot& slot, T& value) {
  const bool scalar = slot.node.kind == YamlNode::Kind::scalar;
  const auto parsed = scalar ? T::parse(slot.node.word()) : std::nullopt;
  if (parsed) value = *parsed;
  return parsed || slot.reject();
}

template <class T>
bool read_value(const Slot& slot, std::vector<T>& values) {
  if (slot.node.kind != YamlNode::Kind::list) {
    const bool scalar = slot.node.kind == YamlNode::Kind::scalar;
    return slot.reject(scalar ? concat(" (did you mean [", slot.node.text, "]?)") : "");
  }
  std::vector<T> entries(slot.node.items.size());
  bool all_good = true;
  for (size_t i = 0; i < entries.size(); ++i) {
    const Slot entry{slot.node.items[i], concat(slot.key, "[", i, "]"), type_phrase<T>(), slot.range,
                     slot.mistakes};
    all_good = read_value(entry, entries[i]) && all_good;
  }
  if (all_good) values = std::move(entries);
  return all_good;
}

template <class T>
bool read_value(const Slot& slot, std::optional<T>& value) {
  std::optional<T> read;
  const bool good = slot.node.kind == YamlNode::Kind::null || read_value(slot, read.emplace());
  if (good) value = std::move(read);
  return good;
}

// A section of the file: `node` is its value, `origin` the place to name when a key of it is missing.
struct Section {
  const YamlNode& node;
  std::string key;  // dotted, "" for the root
  Origin origin;

  // The place of the value at `key` (dotted, within this section), or of what comes nearest to it.
  const Origin& origin_of(const std::string& key) const;
};

// Adds a mistake for each key of `section` that is not in `allowed`, and for each that stands there twice.
void check_keys(const Section& section, const std::vector<std::string>& allowed, const KnownKeys& known,
                Mistakes& mistakes);

template <class T>
void read_section(const Section& section, const KnownKeys& known, Mistakes& mistakes, T& options);

// The visitor that reads the fields of one section.
class SectionReader {
 public:
  SectionReader(const Section& section, const KnownKeys& known, Mistakes& mistakes)
      : section_(section), known_(known), mistakes_(mistakes) {}

  template <class T>
  void operator()(const std::string& key, T& value, std::string_view /*help*/, const Range& range = {}) {
    keys_.push_back(key);
    const YamlEntry* entry = section_.node.find(key);
    if constexpr (HasFields<T>) {
      read_subsection(key, entry, value);
    } else if constexpr (is_optional_section<T>) {
      const bool present = entry ? entry->value.kind != YamlNode::Kind::null : value.has_value();
      if (!present) return value.reset();
      read_subsection(key, entry, value ? *value : value.emplace());
    } else if (entry) {
      read_value(Slot{entry->value, dotted(section_.key, key), type_phrase<T>(), range, mistakes_}, value);
    }
  }

  // Keys of alternatives that were not chosen are known, but ask for something that will not happen, unless
  // they say null or what the alternative has by default.
  template <OneOf T>
  void read_foreign_keys(const T& choice) {
    const std::string name(ChoiceOf<T>::key);
    const YamlEntry* named = section_.node.find(name);
    const bool chosen = !named || named->value.word() == name_of(choice);
    for_each_alternative<T>([&]<class A>(const A&) {
      if (std::holds_alternative<A>(choice)) return;
      for (const auto& field : field_help<A>()) {
        if (std::find(keys_.begin(), keys_.end(), field.key) != keys_.end()) continue;
        keys_.push_back(field.key);
        const YamlEntry* entry = section_.node.find(field.key);
        const bool asks =
            entry && entry->value.kind != YamlNode::Kind::null && entry->value.word() != field.default_value;
        if (!asks || !chosen) continue;
        mistakes_.add(entry->value.origin,
                      concat(dotted(section_.key, field.key), " belongs to ", name, " ", A::kName, ", but ",
                             name, " is ", name_of(choice), "; remove it"));
      }
    });
  }

  void check_keys() const { detail::check_keys(section_, keys_, known_, mistakes_); }

 private:
  // An absent section is read as an empty one, so that its `validate` sees the defaults.
  template <class T>
  void read_subsection(const std::string& key, const YamlEntry* entry, T& options) {
    const YamlNode empty;
    const Section section{entry ? entry->value : empty, dotted(section_.key, key),
                          entry ? entry->origin : section_.origin};
    read_section(section, known_, mistakes_, options);
  }

  const Section& section_;
  const KnownKeys& known_;
  Mistakes& mistakes_;
  std::vector<std::string> keys_;
};

template <class T>
void read_section(const Section& section, const KnownKeys& known, Mistakes& mistakes, T& options) {
  using Kind = YamlNode::Kind;
  if (section.node.kind != Kind::mapping && section.node.kind != Kind::null) {
    Slot{section.node, section.key, type_phrase<T>(), {}, mistakes}.reject();
    return;
  }
  const size_t before = mistakes.count();
  SectionReader reader(section, known, mistakes);
  fields(reader, options);
  if constexpr (OneOf<T>) reader.read_foreign_keys(options);
  reader.check_keys();
  if constexpr (HasValidate<T>) {
    // Values that could not be read still have their defaults: to judge them would blame the user for those.
    if (mistakes.count() > before) return;
    validate(options, [&](const std::string& key, const std::string& sentence) {
      const std::string full_key = key.empty() ? section.key : dotted(section.key, key);
      mistakes.add(section.origin_of(key), full_key.empty() ? sentence : concat(full_key, " ", sentence));
    });
  }
}

}  // namespace detail

// `defaults` with what `root` (load_yaml) and the overrides say. InputError with one line for every mistake:
//   run.yaml:8:11: cd.distance must be one of {l1, l2}, got 'l3' (did you mean l1?)
//   override 'trian.steps=3': unknown key 'trian.steps' (did you mean train.steps?)
template <HasFields T>
T read_config(YamlNode root, const std::vector<std::string>& overrides = {}, T defaults = T()) {
  std::vector<std::string> keys;
  std::vector<std::string> scalars;
  for (const auto& field : field_help<T>()) {
    if (std::find(keys.begin(), keys.end(), field.key) != keys.end()) continue;  // alternatives share keys
    keys.push_back(field.key);
    if (field.scalar) scalars.push_back(field.key);
  }
  const KnownKeys known(std::move(keys), std::move(scalars));
  Mistakes mistakes;
  apply_overrides(overrides, known, root, mistakes);
  detail::read_section(detail::Section{root, "", root.origin}, known, mistakes, defaults);
  mistakes.throw_if_any();
  return defaults;
}

}  // namespace cm
