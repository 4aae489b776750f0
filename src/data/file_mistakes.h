// FileMistakes in the user's data, collected so that one run shows them all.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {

// Keeps the first ten mistakes and counts the others.
class FileMistakes {
 public:
  void add(const std::string& mistake) {
    if (++count_ <= kNamed) named_.push_back(mistake);
  }

  bool any() const { return count_ > 0; }

  // InputError when there was any; `where` starts the line that counts those not named.
  void throw_if_any(const std::string& where) const {
    if (count_ == 0) return;
    std::vector<std::string> lines = named_;
    if (count_ > kNamed) lines.push_back(concat(where, ": ", count_ - kNamed, " more mistakes of this kind"));
    throw InputError(lines);
  }

 private:
  static constexpr int64_t kNamed = 10;
  std::vector<std::string> named_;
  int64_t count_ = 0;
};

}  // namespace cm
