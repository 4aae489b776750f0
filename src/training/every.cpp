#include "cm/training/every.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "cm/base/limits.h"

namespace cm {
namespace {

struct TimeUnit {
  std::string_view name;
  int64_t seconds;
};
constexpr std::array<TimeUnit, 3> kTimeUnits = {{{"h", 3600}, {"min", 60}, {"s", 1}}};

}  // namespace

std::optional<Every> Every::parse(std::string_view word) {
  double count = 0;
  const char* end = word.data() + word.size();
  const auto [rest, failure] = std::from_chars(word.data(), end, count);
  const std::string_view unit_name(rest, end);
  const auto unit = std::ranges::find(kTimeUnits, unit_name, &TimeUnit::name);
  const bool steps = unit_name.empty();
  if (failure != std::errc() || (!steps && unit == kTimeUnits.end())) return std::nullopt;
  const double value = steps ? count : count * static_cast<double>(unit->seconds);
  if (!(value >= 1 && value <= kMostSteps) || value != std::floor(value)) return std::nullopt;
  const auto whole = static_cast<int64_t>(value);
  return steps ? Every{whole} : Every{Duration(whole)};
}

std::string Every::word() const {
  if (const auto* steps = std::get_if<int64_t>(&value)) return std::to_string(*steps);
  const int64_t seconds = std::get<Duration>(value).count();
  for (const TimeUnit& unit : kTimeUnits) {
    if (seconds % unit.seconds == 0) return std::to_string(seconds / unit.seconds).append(unit.name);
  }
  return "";  // not reached: a second divides every duration
}

bool Schedule::due(int64_t step, Clock::time_point now) {
  if (const auto* steps = std::get_if<int64_t>(&every_.value)) return step % *steps == 0;
  if (now - last_ < std::get<Every::Duration>(every_.value)) return false;
  last_ = now;
  return true;
}

}  // namespace cm
