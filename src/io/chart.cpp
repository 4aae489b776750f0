#include "cm/io/chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "cm/base/text.h"

namespace cm {
namespace {

// In pixels of the picture; it is drawn kFactor times as large and then shrunk, which smooths its letters.
constexpr int kFactor = 2;
constexpr int kWidth = 900;
constexpr int kPlotHeight = 420;
constexpr int kLeft = 90;
constexpr int kRight = 40;
constexpr int kTitleHeight = 44;
constexpr int kLegendLine = 24;
constexpr int kYLabelHeight = 32;
constexpr int kBottom = 68;

constexpr double kTextScale = 0.46;
constexpr double kTitleScale = 0.6;
constexpr double kMargin = 0.06;  // of the axes' lengths, free on both sides of the points
constexpr size_t kMostTicks = 9;

const cv::Scalar kInk(40, 40, 40);
const cv::Scalar kPale(120, 120, 120);
const cv::Scalar kGridLine(228, 228, 228);
const std::array kColours = {cv::Scalar(31, 119, 180), cv::Scalar(214, 96, 20),  cv::Scalar(44, 140, 60),
                             cv::Scalar(196, 40, 60),  cv::Scalar(130, 90, 180), cv::Scalar(120, 80, 60)};

enum class Align { left, centre, right };

struct Interval {
  double low = 0;
  double high = 0;

  double share(double value) const { return (value - low) / (high - low); }
};

// Of all values, with a margin; never empty.
Interval interval_of(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double length = *high > *low ? *high - *low : std::max(0.1, 0.1 * std::abs(*low));
  return {*low - kMargin * length, *high + kMargin * length};
}

// Multiples of 1, 2 or 5 times a power of ten.
std::vector<double> linear_ticks(const Interval& range) {
  const double rough = (range.high - range.low) / static_cast<double>(kMostTicks);
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {5, 2, 1}) {
    if (factor * power >= rough) step = factor * power;
  }
  std::vector<double> ticks;
  for (auto i = std::ceil(range.low / step); i * step <= range.high; ++i)
    ticks.push_back(i * step + 0.0);  // not "-0"
  return ticks;
}

// 1, 2 and 5 times powers of ten in a range of decimal logarithms, or the powers alone where those are many.
std::vector<double> logarithmic_ticks(const Interval& range) {
  const auto ticks_of = [&](const std::vector<double>& factors) {
    std::vector<double> ticks;
    for (double exponent = std::floor(range.low); exponent <= range.high; ++exponent) {
      for (const double factor : factors) {
        const double tick = factor * std::pow(10.0, exponent);
        if (std::log10(tick) >= range.low && std::log10(tick) <= range.high) ticks.push_back(tick);
      }
    }
    return ticks;
  };
  const auto fine = ticks_of({1, 2, 5});
  return fine.size() <= kMostTicks ? fine : ticks_of({1});
}

class Canvas {
 public:
  explicit Canvas(const Chart& chart)
      : x_axis_(chart.x_axis),
        top_(kTitleHeight + kLegendLine * static_cast<int>(chart.curves.size()) + kYLabelHeight),
        picture_((top_ + kPlotHeight + kBottom) * kFactor, kWidth * kFactor, CV_8UC3, cv::Scalar::all(255)) {
    std::vector<double> xs;
    std::vector<double> ys;
    for (const Curve& curve : chart.curves) {
      for (const double x : curve.x) xs.push_back(on_axis(x));
      ys.insert(ys.end(), curve.y.begin(), curve.y.end());
    }
    x_range_ = interval_of(xs);
    y_range_ = interval_of(ys);
  }

  void axes(const Chart& chart) {
    const int bottom = top_ + kPlotHeight;
    for (const double tick : x_axis_ == Axis::linear ? linear_ticks(x_range_) : logarithmic_ticks(x_range_)) {
      const cv::Point2d at = place(tick, y_range_.low);
      line({at.x, static_cast<double>(top_)}, at, kGridLine);
      text(concat(tick), {at.x, bottom + 20.0}, kTextScale, kPale, Align::centre);
    }
    for (const double tick : linear_ticks(y_range_)) {
      const cv::Point2d at{static_cast<double>(kLeft), height_of(tick)};
      line(at, {static_cast<double>(kWidth - kRight), at.y}, kGridLine);
      text(concat(tick), {kLeft - 10.0, at.y + 5}, kTextScale, kPale, Align::right);
    }
    line({kLeft, static_cast<double>(bottom)}, {kWidth - kRight, static_cast<double>(bottom)}, kPale);
    line({kLeft, static_cast<double>(top_)}, {kLeft, static_cast<double>(bottom)}, kPale);
    text(chart.title, {kLeft, 32}, kTitleScale, kInk, Align::left);
    text(chart.x_label, {(kLeft + kWidth - kRight) / 2.0, bottom + 50.0}, kTextScale, kInk, Align::centre);
    text(chart.y_label, {kLeft, top_ - 10.0}, kTextScale, kInk, Align::left);
  }

  void curve(const Curve& curve, const cv::Scalar& colour) {
    for (size_t i = 0; i < curve.x.size(); ++i) {
      const cv::Point2d at = place(curve.x[i], curve.y[i]);
      if (i > 0) line(place(curve.x[i - 1], curve.y[i - 1]), at, colour, 2);
      disc(at, 3.5, colour);
    }
  }

  // Above all curves.
  void mark(const Curve& curve, const cv::Scalar& colour) {
    if (!curve.marked) return;
    const cv::Point2d at = place(curve.x[*curve.marked], curve.y[*curve.marked]);
    disc(at, 8, colour);
    disc(at, 5, cv::Scalar::all(255));
    disc(at, 3.5, colour);
  }

  void legend(const Curve& curve, const cv::Scalar& colour, int row) {
    const double y = kTitleHeight + kLegendLine * row + 18;
    line({kLeft, y - 5}, {kLeft + 26, y - 5}, colour, 2);
    disc({kLeft + 13, y - 5}, 3.5, colour);
    text(curve.label, {kLeft + 36, y}, kTextScale, kInk, Align::left);
  }

  Tensor pixels() const {
    cv::Mat small;
    cv::resize(picture_, small, {}, 1.0 / kFactor, 1.0 / kFactor, cv::INTER_AREA);
    const Tensor view = torch::from_blob(small.data, {small.rows, small.cols, 3}, torch::kUInt8);
    return view.permute({2, 0, 1}).clone(torch::MemoryFormat::Contiguous);
  }

 private:
  double on_axis(double x) const { return x_axis_ == Axis::linear ? x : std::log10(x); }

  double height_of(double y) const { return top_ + (1 - y_range_.share(y)) * kPlotHeight; }

  cv::Point2d place(double x, double y) const {
    return {kLeft + x_range_.share(on_axis(x)) * (kWidth - kLeft - kRight), height_of(y)};
  }

  // OpenCV draws at whole pixels and 16ths of them.
  static cv::Point fixed(const cv::Point2d& at) {
    return {static_cast<int>(std::lround(at.x * kFactor * 16)),
            static_cast<int>(std::lround(at.y * kFactor * 16))};
  }

  void line(const cv::Point2d& from, const cv::Point2d& to, const cv::Scalar& colour, int thickness = 1) {
    cv::line(picture_, fixed(from), fixed(to), colour, thickness * kFactor, cv::LINE_AA, 4);
  }

  void disc(const cv::Point2d& at, double radius, const cv::Scalar& colour) {
    cv::circle(picture_, fixed(at), static_cast<int>(radius * kFactor * 16), colour, cv::FILLED, cv::LINE_AA,
               4);
  }

  void text(const std::string& words, const cv::Point2d& at, double scale, const cv::Scalar& colour,
            Align align) {
    const int width =
        cv::getTextSize(words, cv::FONT_HERSHEY_SIMPLEX, scale * kFactor, kFactor, nullptr).width;
    cv::Point origin(static_cast<int>(at.x * kFactor), static_cast<int>(at.y * kFactor));
    if (align == Align::centre) origin.x -= width / 2;
    if (align == Align::right) origin.x -= width;
    cv::putText(picture_, words, origin, cv::FONT_HERSHEY_SIMPLEX, scale * kFactor, colour, kFactor,
                cv::LINE_AA);
  }

  Axis x_axis_;
  int top_;
  cv::Mat picture_;
  Interval x_range_;
  Interval y_range_;
};

void check(const Chart& chart) {
  TORCH_CHECK(!chart.curves.empty(), "a chart needs a curve");
  for (const Curve& curve : chart.curves) {
    TORCH_CHECK(!curve.x.empty() && curve.x.size() == curve.y.size(), "the curve '", curve.label, "' has ",
                curve.x.size(), " x and ", curve.y.size(), " y");
    TORCH_CHECK(!curve.marked || *curve.marked < curve.x.size(), "the curve '", curve.label,
                "' has no point ", *curve.marked, " to mark");
    for (size_t i = 0; i < curve.x.size(); ++i) {
      const bool on_axis = chart.x_axis == Axis::linear || curve.x[i] > 0;
      TORCH_CHECK(on_axis && std::isfinite(curve.x[i]) && std::isfinite(curve.y[i]), "the point (",
                  curve.x[i], ", ", curve.y[i], ") is outside the chart");
    }
  }
}

}  // namespace

Tensor draw_chart(const Chart& chart) {
  check(chart);
  Canvas canvas(chart);
  canvas.axes(chart);
  const auto colour_of = [](size_t i) { return kColours[i % kColours.size()]; };
  for (size_t i = 0; i < chart.curves.size(); ++i) {
    canvas.legend(chart.curves[i], colour_of(i), static_cast<int>(i));
    canvas.curve(chart.curves[i], colour_of(i));
  }
  for (size_t i = 0; i < chart.curves.size(); ++i) canvas.mark(chart.curves[i], colour_of(i));
  return canvas.pixels();
}

}  // namespace cm
