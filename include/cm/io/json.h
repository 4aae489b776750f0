// Option structs to and from JSON, through their `fields` (cm/base/fields.h): for weight-file metadata and
// results.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "cm/base/error.h"
#include "cm/base/fields.h"
#include "cm/base/text.h"

namespace cm {

using Json = nlohmann::ordered_json;

// The text of a JSON value, on one line or indented by `indent` spaces. Bytes that are no UTF-8, as a path
// may hold, become U+FFFD: what a command worked for is not lost because of a name.
inline std::string json_text(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

// The value that a file's text holds. What is no JSON, and what no file of ours has, values nested over 64
// deep or objects of over 10,000 keys, is_discarded(): such a small file would take minutes, or the stack.
Json parse_json(const std::string& text);

template <class T>
Json json_of(const T& value);

namespace detail {

struct JsonWriter {
  Json object = Json::object();
  template <class T, class... Rest>
  void operator()(const std::string& key, T& value, const Rest&...) {
    object[key] = json_of(value);
  }
};

template <class T>
void read_json(const Json& json, const std::string& where, T& value);

// Checks the number, or every number of the list.
inline void check_range(const Range& range, const std::string& where, const Json& json) {
  if (json.is_array()) {
    for (const auto& element : json) check_range(range, where, element);
  } else if (json.is_number() && !range.contains(json.get<double>())) {
    throw InputError(concat(where, " must be ", range.describe(), ", got ", json_text(json)));
  }
}

struct JsonReader {
  const Json& object;
  const std::string& where;
  template <class T, class Help>
  void operator()(const std::string& key, T& value, const Help&, const Range& range = {}) {
    if (!object.contains(key)) return;
    const std::string full_key = concat(where, ".", key);
    read_json(object.at(key), full_key, value);
    check_range(range, full_key, object.at(key));
  }
};

template <class T>
void read_element(const Json& json, const std::string& where, std::vector<T>& values) {
  T value{};
  read_json(json, where, value);
  values.push_back(std::move(value));
}

template <class T>
void read_json(const Json& json, const std::string& where, T& value) {
  if constexpr (HasFields<T>) {
    if (!json.is_object()) throw InputError(concat(where, " must be an object, got ", json_text(json)));
    JsonReader reader{json, where};
    fields(reader, value);
  } else if constexpr (NamedEnum<T>) {
    const auto parsed = from_name<T>(json.is_string() ? json.get<std::string>() : "");
    if (!parsed)
      throw InputError(concat(where, " must be one of {", join(all_names<T>()), "}, got ", json_text(json)));
    value = *parsed;
  } else if constexpr (Worded<T>) {
    const auto parsed = T::parse(json.is_string() ? json.get<std::string>() : json_text(json));
    if (!parsed) throw InputError(concat(where, " must be ", T::kPhrase, ", got ", json_text(json)));
    value = *parsed;
  } else if constexpr (requires {
                         typename T::value_type;
                         value.has_value();
                       }) {
    if (json.is_null()) {
      value.reset();
    } else {
      read_json(json, where, value.emplace());
    }
  } else if constexpr (requires { value.push_back({}); } && !std::is_same_v<T, std::string>) {
    if (!json.is_array()) throw InputError(concat(where, " must be a list, got ", json_text(json)));
    value.clear();
    for (const auto& element : json) read_element(element, where, value);
  } else {
    // The library would cut 1.5 to the integer 1.
    if (std::is_integral_v<T> && json.is_number_float()) {
      throw InputError(concat(where, " must be an integer, got ", json_text(json)));
    }
    try {
      value = json.get<T>();
    } catch (const nlohmann::json::exception&) {
      throw InputError(concat(where, " has the wrong type: ", json_text(json)));
    }
  }
}

}  // namespace detail

// The fields as a JSON object; enums by name, empty optionals as null.
template <class T>
Json json_of(const T& value) {
  if constexpr (HasFields<T>) {
    detail::JsonWriter writer;
    fields(writer, const_cast<T&>(value));  // visitors take fields by reference; this one only reads them
    return writer.object;
  } else if constexpr (NamedEnum<T>) {
    return to_string(value);
  } else if constexpr (Worded<T>) {
    return value.word();
  } else if constexpr (requires {
                         typename T::value_type;
                         value.has_value();
                       }) {
    return value ? json_of(*value) : Json(nullptr);
  } else if constexpr (requires { value.begin(); } && !std::is_same_v<T, std::string>) {
    Json list = Json::array();
    for (const auto& element : value) list.push_back(json_of(element));
    return list;
  } else {
    return value;
  }
}

// Sets the fields that `json` has; unknown keys are ignored (files of newer versions), missing ones keep
// their value. InputError, with `where` in front, when a value has the wrong type or lies outside its field's
// range.
template <class T>
void set_from_json(const Json& json, const std::string& where, T& value) {
  detail::read_json(json, where, value);
}

}  // namespace cm
