// A progress bar with an ETA on a terminal; plain lines, at most one every few seconds, elsewhere.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "cm/base/clock.h"
#include "cm/base/rate.h"

namespace cm {

class Progress {
 public:
  // `total` units of work, of which `done` are behind us already (a resumed run); `what` names the work.
  Progress(std::string what, int64_t total, int64_t done = 0, std::function<double()> clock = seconds_now);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `done` units are finished; `details` ("loss 0.12  lr 1e-3") stands at the end of the line.
  void update(int64_t done, const std::string& details = "");

  // Removes the bar from the terminal, so that a log line can be printed; the next update draws it again.
  void clear();

 private:
  void draw(int64_t done, double now, const std::string& details);

  std::string what_;
  int64_t total_;
  std::function<double()> clock_;
  bool terminal_;
  bool drawn_ = false;
  double last_draw_;
  Rate rate_;
};

}  // namespace cm
