#include "class_labels.h"

#include <sstream>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/yaml/scalar.h"

namespace cm {
namespace {

int64_t class_of(const std::string& word, int64_t available) {
  const int64_t value = parse_integer(word).value_or(-1);
  if (value < 0 || value >= available) {
    throw InputError(
        concat("--class must be 'all' or classes in 0 … ", available - 1, ", as 3 or 3,5, got '", word, "'"));
  }
  return value;
}

}  // namespace

Tensor class_labels(const std::optional<std::string>& classes, int64_t available, int64_t count) {
  if (available == 0) {
    if (classes) throw InputError("--class: this model was trained without classes");
    return {};
  }
  std::vector<int64_t> list;
  if (!classes || *classes == "all") {
    for (int64_t i = 0; i < available; ++i) list.push_back(i);
  } else {
    std::istringstream words(*classes);
    for (std::string word; std::getline(words, word, ',');) list.push_back(class_of(word, available));
    if (list.empty() || classes->ends_with(',')) class_of(*classes, available);
  }
  Tensor labels = torch::empty({count}, torch::kInt64);
  for (int64_t i = 0; i < count; ++i) {
    labels.data_ptr<int64_t>()[i] = list[static_cast<size_t>(i) % list.size()];
  }
  return labels;
}

}  // namespace cm
