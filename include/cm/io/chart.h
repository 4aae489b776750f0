// Charts as pictures, for results that people look at.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cm/base/tensor.h"

namespace cm {

// A line through points, with a dot at each. All texts are ASCII: OpenCV's letters know nothing else.
struct Curve {
  std::string label;
  std::vector<double> x;              // ascending; above 0 on a logarithmic axis
  std::vector<double> y;              // finite, as many
  std::optional<size_t> marked = {};  // the point that a ring and its value point out
};

enum class Axis { linear, logarithmic };

struct Chart {
  std::string title;
  std::string x_label;
  std::string y_label;
  Axis x_axis = Axis::logarithmic;
  std::vector<Curve> curves;
};

// The chart as a picture: uint8 RGB [3, H, W]; its height grows with the number of curves, one line of legend
// each.
Tensor draw_chart(const Chart& chart);

}  // namespace cm
