#include "cm/base/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "cm/base/log.h"
#include "cm/base/text.h"

namespace cm {
namespace {

constexpr double kSecondsBetweenDraws = 0.1;
constexpr double kSecondsBetweenLines = 10;
constexpr int64_t kBarWidth = 24;

double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

Progress::Progress(std::string what, int64_t total, int64_t done)
    : what_(std::move(what)),
      total_(total),
      first_(done),
      done_(done),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      last_draw_(start_) {}

Progress::~Progress() {
  clear();
}

double Progress::rate() const {
  const double seconds = seconds_between(start_, Clock::now());
  return seconds > 0 ? static_cast<double>(done_ - first_) / seconds : 0;
}

void Progress::update(int64_t done, const std::string& details) {
  done_ = done;
  const auto now = Clock::now();
  const double wait = terminal_ ? kSecondsBetweenDraws : kSecondsBetweenLines;
  if (seconds_between(last_draw_, now) < wait && (done < total_ || !terminal_)) return;
  last_draw_ = now;
  draw(details);
}

void Progress::draw(const std::string& details) {
  const double per_second = rate();
  const double left = per_second > 0 ? static_cast<double>(total_ - done_) / per_second : -1;
  const std::string numbers = concat(done_, "/", total_, "  ", human_count(per_second), "/s  ETA ",
                                     human_duration(left), "  ", details);
  if (!terminal_) {
    log_info(concat(what_, " ", numbers));
    return;
  }
  const int64_t filled =
      total_ > 0 ? std::clamp<int64_t>(kBarWidth * done_ / total_, 0, kBarWidth) : kBarWidth;
  std::cerr << "\r\x1b[K" << what_ << " [" << std::string(static_cast<size_t>(filled), '#')
            << std::string(static_cast<size_t>(kBarWidth - filled), ' ') << "] " << numbers << std::flush;
  drawn_ = true;
}

void Progress::clear() {
  if (drawn_) std::cerr << "\r\x1b[K" << std::flush;
  drawn_ = false;
}

}  // namespace cm
