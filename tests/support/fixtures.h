// The parity fixtures: numbers that another implementation computed, each case a NAME.safetensors beside a
// NAME.json. They lie in the folder that the environment variable CM_FIXTURES names, or else in
// tests/fixtures; a new case is a new pair of files.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "cm/base/files.h"
#include "cm/io/json.h"
#include "cm/io/safetensors.h"
#include "support/parity_device.h"

namespace cm::test {

struct Fixture {
  std::string name;
  Json config;
  NamedTensors tensors;

  // The name of the whole case, or of one of its parts: "losses ct.l2.uniform".
  std::string part(const std::string& of) const { return of.empty() ? name : name + " " + of; }
  bool has(const std::string& tensor) const { return tensors.contains(tensor); }
  const Tensor& operator[](const std::string& tensor) const {
    const auto found = tensors.find(tensor);
    if (found == tensors.end()) throw std::runtime_error(name + ".safetensors has no tensor " + tensor);
    return found->second;
  }
  // A tensor of one element.
  double number(const std::string& tensor) const { return (*this)[tensor].item<double>(); }
  // The labels of a part, or else of the whole case; undefined, as networks without classes want it, where
  // there are none.
  Tensor labels(const std::string& of = "") const {
    const std::string own = of + ".labels";
    if (has(own)) return (*this)[own];
    return has("labels") ? (*this)["labels"] : Tensor();
  }
};

// The value of an enum that a case or its sidecar names.
template <class Enum>
Enum named(const std::string& name) {
  const auto value = from_name<Enum>(name);
  if (!value) throw std::runtime_error(name + " is none of {" + join(all_names<Enum>()) + "}");
  return *value;
}

inline std::filesystem::path fixture_folder() {
  const char* folder = std::getenv("CM_FIXTURES");
  return folder != nullptr ? std::filesystem::path(folder)
                           : std::filesystem::path(CM_SOURCE_DIR) / "tests/fixtures";
}

// The paths of PREFIX*.safetensors, sorted.
inline std::vector<std::filesystem::path> fixture_files(const std::string& prefix) {
  const auto folder = fixture_folder();
  std::vector<std::filesystem::path> files;
  if (std::filesystem::is_directory(folder)) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const auto& path = entry.path();
      if (path.extension() == ".safetensors" && path.filename().string().starts_with(prefix))
        files.push_back(path);
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

// The tensors of a file, on the device of the parity tests.
inline NamedTensors fixture_tensors(const std::filesystem::path& path) {
  NamedTensors tensors = load_safetensors(path).tensors;
  for (auto& [name, tensor] : tensors) tensor = tensor.to(parity_device());
  return tensors;
}

// Every case whose name begins with `prefix`. Throws, which fails the test, when there is none or a sidecar
// is missing.
inline std::vector<Fixture> fixtures(const std::string& prefix) {
  std::vector<Fixture> cases;
  for (const auto& path : fixture_files(prefix)) {
    const auto sidecar = std::filesystem::path(path).replace_extension(".json");
    cases.push_back({.name = path.stem().string(),
                     .config = Json::parse(read_file(sidecar)),
                     .tensors = fixture_tensors(path)});
  }
  if (cases.empty()) {
    throw std::runtime_error("no parity case " + prefix + "*.safetensors in " + fixture_folder().string());
  }
  return cases;
}

}  // namespace cm::test
