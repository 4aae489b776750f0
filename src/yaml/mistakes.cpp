#include "cm/yaml/mistakes.h"

#include <algorithm>

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {

Origin Origin::place(const std::string& name, int64_t line, int64_t column) {
  return {concat(name, ":", line, ":", column), {0, line, column}};
}

Origin Origin::override_of(const std::string& typed, int64_t index) {
  return {concat("override '", typed, "'"), {1, index, 0}};
}

void Mistakes::throw_if_any() const {
  if (mistakes_.empty()) return;
  std::vector<Mistake> sorted = mistakes_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Mistake& a, const Mistake& b) { return a.origin.order < b.origin.order; });
  std::vector<std::string> lines;
  for (const auto& mistake : sorted) lines.push_back(concat(mistake.origin.where, ": ", mistake.sentence));
  throw InputError(std::move(lines));
}

}  // namespace cm
