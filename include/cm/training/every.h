// How often something is done in training: every so many steps, or whenever so much time has passed.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace cm {

// In configs one word: "500" (steps), or "45s", "30min", "2h".
struct Every {
  using Duration = std::chrono::seconds;
  std::variant<int64_t, Duration> value;  // steps, at least 1; or seconds, at least 1

  static constexpr std::string_view kPhrase =
      "a number of steps (500) or a time (45s, 30min, 2h), at least 1";
  // nullopt for other words, and beyond kMostSteps steps or as many seconds.
  static std::optional<Every> parse(std::string_view word);
  std::string word() const;
};

// When it is done next.
class Schedule {
 public:
  using Clock = std::chrono::steady_clock;
  explicit Schedule(const Every& every, Clock::time_point now = Clock::now()) : every_(every), last_(now) {}

  // Asked once a step, after `step` steps in all: whether `step` is a multiple of the steps, or the time has
  // passed since the schedule was made or last said so.
  bool due(int64_t step, Clock::time_point now = Clock::now());

  // Whether it goes by a clock, which is another on each rank.
  bool goes_by_time() const { return std::holds_alternative<Every::Duration>(every_.value); }

 private:
  Every every_;
  Clock::time_point last_;
};

}  // namespace cm
