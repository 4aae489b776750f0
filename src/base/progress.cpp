#include "cm/base/progress.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "cm/base/log.h"
#include "cm/base/text.h"

namespace cm {
namespace {

constexpr double kSecondsBetweenDraws = 0.1;
constexpr double kSecondsBetweenLines = 10;
constexpr int64_t kBarWidth = 24;

}  // namespace

Progress::Progress(std::string what, int64_t total, int64_t done, std::function<double()> clock)
    : what_(std::move(what)),
      total_(total),
      clock_(std::move(clock)),
      terminal_(isatty(STDERR_FILENO) == 1),
      last_draw_(clock_()),
      rate_(done, last_draw_) {}

Progress::~Progress() {
  clear();
}

void Progress::update(int64_t done, const std::string& details) {
  const double now = clock_();
  rate_.update(done, now);
  const double wait = terminal_ ? kSecondsBetweenDraws : kSecondsBetweenLines;
  if (now - last_draw_ < wait && (done < total_ || !terminal_)) return;
  last_draw_ = now;
  draw(done, now, details);
}

void Progress::draw(int64_t done, double now, const std::string& details) {
  const std::string numbers = concat(done, "/", total_, "  ", human_count(rate_.per_second(now)), "/s  ETA ",
                                     human_duration(rate_.seconds_left(total_, now)), "  ", details);
  if (!terminal_) {
    log_info(concat(what_, " ", numbers));
    return;
  }
  const int64_t filled =
      total_ > 0 ? std::clamp<int64_t>(kBarWidth * done / total_, 0, kBarWidth) : kBarWidth;
  std::cerr << "\r\x1b[K" << what_ << " [" << std::string(static_cast<size_t>(filled), '#')
            << std::string(static_cast<size_t>(kBarWidth - filled), ' ') << "] " << numbers << std::flush;
  drawn_ = true;
}

void Progress::clear() {
  if (drawn_) std::cerr << "\r\x1b[K" << std::flush;
  drawn_ = false;
}

}  // namespace cm
