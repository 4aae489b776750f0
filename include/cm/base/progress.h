// A progress bar with an ETA on a terminal; plain lines, at most one every few seconds, elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace cm {

class Progress {
 public:
  // `total` units of work, of which `done` are behind us already (a resumed run); `what` names the work.
  Progress(std::string what, int64_t total, int64_t done = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `done` units are finished; `details` ("loss 0.12  lr 1e-3") stands at the end of the line.
  void update(int64_t done, const std::string& details = "");

  // Removes the bar from the terminal, so that a log line can be printed; the next update draws it again.
  void clear();

  // Units a second since the start of this process's part of the work.
  double rate() const;

 private:
  using Clock = std::chrono::steady_clock;
  void draw(const std::string& details);

  std::string what_;
  int64_t total_;
  int64_t first_;
  int64_t done_;
  bool terminal_;
  bool drawn_ = false;
  Clock::time_point start_;
  Clock::time_point last_draw_;
};

}  // namespace cm
