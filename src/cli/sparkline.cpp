#include "sparkline.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace cm {
namespace {

constexpr std::array kBlocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr double kLogFrom = 10;  // the highest over the lowest

constexpr double kNoValue = std::numeric_limits<double>::quiet_NaN();

// Of a flat curve all are in the middle.
size_t block_of(double value, double low, double high) {
  const double share = high > low ? (value - low) / (high - low) : 0.4;
  return std::min(static_cast<size_t>(share * kBlocks.size()), kBlocks.size() - 1);
}

}  // namespace

std::vector<double> resampled(const std::vector<CurvePoint>& points, size_t width) {
  const auto parts = static_cast<int64_t>(std::min(width, points.size()));
  std::vector<double> means;
  auto point = points.begin();
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t span = points.back().step - points.front().step + 1;
    const auto end_of_part = points.front().step + (span * (part + 1) + parts - 1) / parts;
    double sum = 0;
    int64_t count = 0;
    const auto first = point;
    for (; point != points.end() && point->step < end_of_part; ++point) {
      if (!std::isfinite(point->value)) continue;
      sum += point->value;
      ++count;
    }
    const double before = means.empty() ? kNoValue : means.back();
    means.push_back(count > 0 ? sum / static_cast<double>(count) : point == first ? before : kNoValue);
  }
  return means;
}

Sparkline sparkline(const std::vector<CurvePoint>& points, size_t width) {
  const std::vector<double> means = resampled(points, width);
  Sparkline line{.text = "",
                 .lowest = std::numeric_limits<double>::infinity(),
                 .highest = -std::numeric_limits<double>::infinity()};
  for (const double mean : means) {
    if (std::isnan(mean)) continue;
    line.lowest = std::min(line.lowest, mean);
    line.highest = std::max(line.highest, mean);
  }
  if (line.lowest > line.highest) return {};
  line.log_scale = line.lowest > 0 && line.highest >= kLogFrom * line.lowest;
  const auto scaled = [&](double value) { return line.log_scale ? std::log(value) : value; };
  for (const double mean : means) {
    line.text += std::isnan(mean)
                     ? " "
                     : kBlocks.at(block_of(scaled(mean), scaled(line.lowest), scaled(line.highest)));
  }
  return line;
}

}  // namespace cm
