// Help on every key of a config, from the `fields` of its structs.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "cm/yaml/known_keys.h"
#include "cm/yaml/value_type.h"
#include "cm/yaml/writer.h"

namespace cm {

struct FieldHelp {
  std::string key;            // dotted
  std::string type;           // type_phrase
  std::string range;          // "at least 1", or "" where anything goes
  std::string default_value;  // as YAML; "" for a section that is there by default
  std::string help;
  bool scalar;  // neither a section nor a list

  bool operator==(const FieldHelp&) const = default;
};

namespace detail {

class FieldLister {
 public:
  FieldLister(std::string section, std::vector<FieldHelp>& found)
      : section_(std::move(section)), found_(found) {}

  template <class T>
  void operator()(const std::string& key, T& value, std::string_view help, const Range& range = {}) {
    const bool limited = range.describe() != Range{}.describe();
    found_.push_back({dotted(section_, key), type_phrase<T>(), limited ? range.describe() : "",
                      default_text(value), std::string(help), is_scalar<T>});
    const std::string full_key = found_.back().key;  // found_ grows
    list_keys_of(full_key, value);
  }

 private:
  template <class T>
  static std::string default_text(const T& value) {
    if constexpr (HasFields<T>) {
      return "";
    } else if constexpr (is_optional_section<T>) {
      return value ? "" : "null";
    } else {
      return flow_text(value);
    }
  }

  template <class T>
  void list_keys_of(const std::string& key, T& value) {
    if constexpr (OneOf<T>) {
      list_alternatives(key, value);
    } else if constexpr (HasFields<T>) {
      FieldLister lister(key, found_);
      fields(lister, value);
    } else if constexpr (is_optional_section<T>) {
      auto section = value.value_or(typename T::value_type());
      list_keys_of(key, section);
    }
  }

  // The key of the choice, then every alternative's keys, alike ones once; those that not all have say whose
  // they are.
  template <OneOf T>
  void list_alternatives(const std::string& key, T& value) {
    const size_t first = found_.size() + 1;
    FieldLister lister(key, found_);
    fields(lister, value);
    std::vector<std::vector<std::string>> owners(found_.size() - first, {name_of(value)});
    for_each_alternative<T>([&]<class A>(A alternative) {
      if (std::holds_alternative<A>(value)) return;
      std::vector<FieldHelp> own;
      FieldLister own_lister(key, own);
      fields(own_lister, alternative);
      for (const auto& field : own) {
        const auto alike =
            std::find(found_.begin() + static_cast<std::ptrdiff_t>(first), found_.end(), field);
        const auto i = static_cast<size_t>(alike - found_.begin()) - first;
        if (alike == found_.end()) {
          found_.push_back(field);
          owners.emplace_back();
        }
        owners[i].emplace_back(A::kName);
      }
    });
    for (size_t i = 0; i < owners.size(); ++i) {
      std::string& help = found_[first + i].help;
      if (owners[i].size() < std::variant_size_v<T>) help = concat(join(owners[i]), ": ", help);
    }
  }

  std::string section_;
  std::vector<FieldHelp>& found_;
};

}  // namespace detail

// Every section and field (of a choice, those of all alternatives), each section before its fields, with the
// values of `defaults` as defaults.
template <class T>
std::vector<FieldHelp> field_help(T defaults = T()) {
  std::vector<FieldHelp> found;
  detail::FieldLister lister("", found);
  fields(lister, defaults);
  return found;
}

// The help as text: for each key a line with its type, range and default, and below it what it is for.
std::string describe(const std::vector<FieldHelp>& keys);

// describe(field_help<T>()): what --help-config prints.
template <class T>
std::string describe_fields() {
  return describe(field_help<T>());
}

}  // namespace cm
