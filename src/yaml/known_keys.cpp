#include "cm/yaml/known_keys.h"

#include <algorithm>
#include <sstream>

#include "cm/base/text.h"

namespace cm {
namespace {

std::string last_word(const std::string& key) {
  return key.substr(key.rfind('.') + 1);
}

}  // namespace

std::string dotted(const std::string& section, const std::string& key) {
  return section.empty() ? key : concat(section, ".", key);
}

bool KnownKeys::contains(const std::string& key) const {
  return std::find(keys_.begin(), keys_.end(), key) != keys_.end();
}

bool KnownKeys::is_scalar(const std::string& key) const {
  return std::find(scalars_.begin(), scalars_.end(), key) != scalars_.end();
}

std::string KnownKeys::suggestion(const std::string& key) const {
  const std::string corrected = corrected_along_path(key);
  const auto meant = corrected.empty() ? same_last_word(key) : std::vector<std::string>{corrected};
  return meant.empty() ? "" : concat(" (did you mean ", join(meant, " or "), "?)");
}

std::vector<std::string> KnownKeys::children(const std::string& section) const {
  std::vector<std::string> words;
  for (const auto& key : keys_) {
    if (dotted(section, last_word(key)) == key) words.push_back(last_word(key));
  }
  return words;
}

std::string KnownKeys::corrected_along_path(const std::string& key) const {
  std::string corrected;
  std::istringstream words(key);
  for (std::string word; std::getline(words, word, '.');) {
    const std::string near = nearest(word, children(corrected));
    if (near.empty()) return "";
    corrected = dotted(corrected, near);
  }
  return corrected;
}

std::vector<std::string> KnownKeys::same_last_word(const std::string& key) const {
  std::vector<std::string> words;
  for (const auto& known : keys_) words.push_back(last_word(known));
  const std::string near = nearest(last_word(key), words);
  std::vector<std::string> meant;
  for (const auto& known : keys_) {
    if (last_word(known) == near) meant.push_back(known);
  }
  return meant;
}

}  // namespace cm
