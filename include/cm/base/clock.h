// The time that work takes.
#pragma once

#include <chrono>

namespace cm {

// Seconds of a clock that doesn't run backwards.
inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace cm
