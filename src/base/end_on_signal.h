// SIGINT and SIGTERM as an end: at once, with one line, and with nothing half written.
#pragma once

#include <array>
#include <string>
#include <thread>

namespace cm {

// While it lives, either signal ends the process as it does by default (a shell shows 130 or 143), after one
// line on stderr that starts with `program` and after what was begun and not finished (cm/base/files.h) was
// removed. A signal that the process was started to ignore stays ignored. One at a time.
class EndOnSignal {
 public:
  explicit EndOnSignal(std::string program);
  ~EndOnSignal();
  EndOnSignal(const EndOnSignal&) = delete;
  EndOnSignal& operator=(const EndOnSignal&) = delete;

  // Waits for the end, if one has begun: what fails meanwhile fails because of it.
  static void wait_if_ending();

 private:
  void await() const;

  std::string program_;
  std::array<int, 2> pipe_{};
  std::thread waiting_;  // does what a handler may not
};

}  // namespace cm
