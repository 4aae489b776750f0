#include "cm/base/fields.h"

#include <cmath>

#include "cm/base/text.h"

namespace cm {

std::string Range::describe() const {
  const bool below = std::isfinite(max);
  const bool above_min = std::isfinite(min);
  if (above_min && below) return concat("in ", open_min ? "(" : "[", min, ", ", max, open_max ? ")" : "]");
  if (above_min) return concat(open_min ? "above " : "at least ", min);
  if (below) return concat(open_max ? "below " : "at most ", max);
  return "a number";
}

}  // namespace cm
