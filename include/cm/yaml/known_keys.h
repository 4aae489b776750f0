// The keys that a config may have, and the one that was probably meant.
#pragma once

#include <string>
#include <vector>

namespace cm {

// "train.steps" from "train" and "steps"; a key of the root has an empty section.
std::string dotted(const std::string& section, const std::string& key);

class KnownKeys {
 public:
  // Dotted keys of all sections and fields, and those among them whose value is a single one: no section, no
  // list.
  explicit KnownKeys(std::vector<std::string> keys, std::vector<std::string> scalars = {})
      : keys_(std::move(keys)), scalars_(std::move(scalars)) {}

  bool contains(const std::string& key) const;
  bool is_scalar(const std::string& key) const;

  // " (did you mean train.steps?)", or "" when nothing is like `key`. Looks word by word along the dotted
  // key, then for its last word in any section: "trian.step" is train.steps, "lr" is optimizer.lr.
  std::string suggestion(const std::string& key) const;

 private:
  std::vector<std::string> children(const std::string& section) const;
  std::string corrected_along_path(const std::string& key) const;
  std::vector<std::string> same_last_word(const std::string& key) const;

  std::vector<std::string> keys_;
  std::vector<std::string> scalars_;
};

}  // namespace cm
