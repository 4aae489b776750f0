// The present speed of work, and what is left at that speed: a slow beginning is forgotten, a stall is seen.
#pragma once

#include <cstdint>
#include <deque>

namespace cm {

// Times are seconds of any clock that doesn't run backwards.
class Rate {
 public:
  // `done` units are behind us already (a resumed run), and are not counted.
  Rate(int64_t done, double now);

  // `done` units are finished, no fewer than before.
  void update(int64_t done, double now);

  // Units a second of the last minute, or since the update before the last where these lie further apart. 0
  // before the first update. It falls while nothing more gets done.
  double per_second(double now) const;

  // Until `total` units are done, at this speed; −1 where it is 0 and work is left.
  double seconds_left(int64_t total, double now) const;

 private:
  struct Point {
    int64_t done;
    double time;
  };
  std::deque<Point> points_;  // the first is where the window begins
  Point last_;
};

}  // namespace cm
