// A curve as one line of text: █▇▅▄▃▂▂▁.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cm {

struct CurvePoint {
  int64_t step = 0;
  double value = 0;
};

// At most `width` values, of parts with as many steps each: the mean of the finite ones in a part, NaN where
// none is finite, what came before where a part has no point. The points' steps ascend.
std::vector<double> resampled(const std::vector<CurvePoint>& points, size_t width);

struct Sparkline {
  std::string text;   // one character a value of resampled(); a space for NaN
  double lowest = 0;  // of these values
  double highest = 0;
  bool log_scale = false;  // where all are positive and the highest is ten times the lowest
};

// "" where no value is finite.
Sparkline sparkline(const std::vector<CurvePoint>& points, size_t width);

}  // namespace cm
