// Option structs as YAML: the resolved config of a run. Reading the text gives the struct back
// (yaml_reader.h).
#pragma once

#include <string>
#include <type_traits>

#include "cm/yaml/scalar.h"
#include "cm/yaml/value_type.h"

namespace cm {

// A field's value on one line: a scalar, "null" for an empty optional, "[0.99, 0.999]" for a list.
template <class T>
std::string flow_text(const T& value) {
  if constexpr (is_optional<T>) {
    return value ? flow_text(*value) : "null";
  } else if constexpr (is_list<T>) {
    std::vector<std::string> entries;
    for (const auto& entry : value) entries.push_back(flow_text(entry));
    return concat("[", join(entries), "]");
  } else if constexpr (NamedEnum<T>) {
    return yaml_text(to_string(value));
  } else if constexpr (Worded<T>) {
    return value.word();
  } else {
    return yaml_text(value);
  }
}

namespace detail {

class YamlWriter {
 public:
  explicit YamlWriter(std::string indentation) : indentation_(std::move(indentation)) {}

  template <class T, class... Description>
  void operator()(const std::string& key, T& value, const Description&...) {
    text_ += concat(indentation_, key, ":");
    if constexpr (HasFields<T>) {
      write_section(value);
    } else if constexpr (is_optional_section<T>) {
      value ? write_section(*value) : void(text_ += " null\n");
    } else {
      text_ += concat(" ", flow_text(value), "\n");
    }
  }

  const std::string& text() const { return text_; }

 private:
  template <class T>
  void write_section(T& section) {
    YamlWriter writer(indentation_ + "  ");
    fields(writer, section);
    text_ += writer.text().empty() ? " {}\n" : concat("\n", writer.text());
  }

  std::string indentation_;
  std::string text_;
};

}  // namespace detail

// Every key with its value: sections as mappings, lists in brackets, empty optionals as null. Doubles are
// finite and read back bit for bit.
template <HasFields T>
std::string to_yaml(const T& options) {
  detail::YamlWriter writer("");
  fields(writer, const_cast<T&>(options));  // visitors take fields by reference; this one only reads them
  return writer.text();
}

}  // namespace cm
