#include "cm/base/fields.h"

#include <cmath>

#include "cm/base/error.h"
#include "cm/base/limits.h"
#include "cm/base/text.h"

namespace cm {
namespace {

// Whole numbers with all their digits.
std::string end_of_range(double value) {
  const bool whole = value == std::floor(value) && std::abs(value) <= kLargestSeed;
  return whole ? std::to_string(static_cast<int64_t>(value)) : shortest(value);
}

}  // namespace

std::string Range::describe() const {
  const bool below = std::isfinite(max);
  const bool above_min = std::isfinite(min);
  if (above_min && below)
    return concat("in ", open_min ? "(" : "[", end_of_range(min), ", ", end_of_range(max),
                  open_max ? ")" : "]");
  if (above_min) return concat(open_min ? "above " : "at least ", end_of_range(min));
  if (below) return concat(open_max ? "below " : "at most ", end_of_range(max));
  return "a number";
}

void refuse_mistakes(const std::string& prefix, const std::function<void(const Complain& complain)>& judge) {
  std::vector<std::string> mistakes;
  judge([&](const std::string& key, const std::string& sentence) {
    mistakes.push_back(concat(prefix, key, " ", sentence));
  });
  if (!mistakes.empty()) throw InputError(mistakes);
}

}  // namespace cm
