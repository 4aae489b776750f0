#include "cm/base/rate.h"

namespace cm {
namespace {

constexpr double kWindow = 60;        // seconds
constexpr double kBetweenPoints = 1;  // so that fast work leaves no more of them than a slow one

}  // namespace

Rate::Rate(int64_t done, double now) : points_{{done, now}}, last_{done, now} {}

void Rate::update(int64_t done, double now) {
  // The window begins with the newest point that is as old as the window, so never with an empty one.
  if (last_.time - points_.back().time >= kBetweenPoints) points_.push_back(last_);
  while (points_.size() > 1 && now - points_[1].time >= kWindow) points_.pop_front();
  last_ = {done, now};
}

double Rate::per_second(double now) const {
  const Point& first = points_.front();
  const double seconds = now - first.time;
  return seconds > 0 ? static_cast<double>(last_.done - first.done) / seconds : 0;
}

double Rate::seconds_left(int64_t total, double now) const {
  if (total <= last_.done) return 0;
  const double rate = per_second(now);
  return rate > 0 ? static_cast<double>(total - last_.done) / rate : -1;
}

}  // namespace cm
