// One of diffusers' JSON files.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/io/json.h"

namespace cm {

// Python writes numbers that JSON has not; of those keys none is read here.
inline std::string without_infinities(std::string text) {
  for (const std::string_view number : {": -Infinity", ": Infinity", ": NaN"}) {
    for (size_t at = text.find(number); at != std::string::npos; at = text.find(number, at))
      text.replace(at, number.size(), ": null");
  }
  return text;
}

// A key that the file leaves out has diffusers' default.
class DiffusersConfig {
 public:
  explicit DiffusersConfig(std::filesystem::path path) : path_(std::move(path)) {
    json_ = parse_json(without_infinities(read_file(path_)));
    if (!json_.is_object()) throw InputError(concat(path_.string(), ": not a JSON object"));
  }

  Json get(const std::string& key, const Json& otherwise) const { return json_.value(key, otherwise); }

  template <class T>
  T as(const std::string& key, const Json& otherwise) const {
    const Json value = get(key, otherwise);
    try {
      return value.get<T>();
    } catch (const nlohmann::json::exception&) {
      reject(key, "has the wrong type");
    }
  }

  int64_t positive(const std::string& key, const Json& otherwise) const {
    const Json value = get(key, otherwise);
    if (!value.is_number_integer() || value.get<int64_t>() < 1)
      reject(key, "must be a positive whole number");
    return value.get<int64_t>();
  }

  double positive_number(const std::string& key, const Json& otherwise) const {
    const Json value = get(key, otherwise);
    if (!value.is_number() || value.get<double>() <= 0) reject(key, "must be a positive number");
    return value.get<double>();
  }

  // Refuses a key that is none of `known`: it may change what the weights mean. What begins with "_" does
  // not.
  void require_known(const std::vector<std::string>& known) const {
    for (const auto& [key, value] : json_.items()) {
      if (key.starts_with('_') || std::ranges::find(known, key) != known.end()) continue;
      reject(key, concat("is not known here", did_you_mean(key, known)));
    }
  }

  // For what our networks and samplers have fixed.
  void require(const std::string& key, const Json& otherwise, const Json& needed) const {
    if (get(key, otherwise) != needed) reject(key, concat("must be ", json_text(needed)));
  }

  [[noreturn]] void reject(const std::string& key, const std::string& what) const {
    throw InputError(concat(path_.string(), ": ", key, " ", what, ", got ", json_text(get(key, nullptr))));
  }

 private:
  std::filesystem::path path_;
  Json json_;
};

}  // namespace cm
