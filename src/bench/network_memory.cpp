#include "cm/bench/network_memory.h"

#include <algorithm>

#include "dit_walk.h"
#include "edm2_walk.h"
#include "network_walk.h"

namespace cm {
namespace {

double total_kept(const std::vector<Segment>& segments, int64_t computed_bytes) {
  double kept = 0;
  for (const Segment& segment : segments) {
    kept += segment.input.bytes(computed_bytes);
    if (!segment.recomputed) kept += segment.inner.bytes(computed_bytes);
  }
  return kept;
}

// Backwards: what is still kept, what waits for the starts of skip connections, and what the segment itself
// needs.
double training_peak(const std::vector<Segment>& segments, int64_t computed_bytes) {
  double kept = total_kept(segments, computed_bytes);
  double waiting = 0;
  std::vector<double> gradients;
  double peak = kept;
  for (size_t i = segments.size(); i-- > 0;) {
    const Segment& segment = segments[i];
    const double inner = segment.inner.bytes(computed_bytes);
    peak = std::max(
        peak, kept + waiting + segment.gradients.bytes(computed_bytes) + (segment.recomputed ? inner : 0));
    kept -= segment.input.bytes(computed_bytes) + (segment.recomputed ? 0 : inner);
    if (segment.closed > 0) {
      gradients.push_back(segment.closed * static_cast<double>(computed_bytes));
      waiting += gradients.back();
    }
    if (segment.opened > 0) {
      waiting -= gradients.back();
      gradients.pop_back();
    }
  }
  return peak;
}

// Bytes of skip connections whose other end has not come yet.
class WaitingSkips {
 public:
  explicit WaitingSkips(int64_t computed_bytes) : number_(static_cast<double>(computed_bytes)) {}
  double bytes() const { return bytes_; }
  void pass(const Segment& segment) {
    if (segment.opened > 0) {
      skips_.push_back(segment.opened * number_);
      bytes_ += skips_.back();
    }
    if (segment.closed > 0) {
      bytes_ -= skips_.back();
      skips_.pop_back();
    }
  }

 private:
  double number_;
  double bytes_ = 0;
  std::vector<double> skips_;
};

double inference_peak(const std::vector<Segment>& segments, int64_t computed_bytes) {
  WaitingSkips waiting(computed_bytes);
  double peak = 0;
  for (const Segment& segment : segments) {
    peak = std::max(peak, waiting.bytes() + segment.forward.bytes(computed_bytes));
    waiting.pass(segment);
  }
  return peak;
}

}  // namespace

NetworkSizes sizes_of(const NetworkOptions& options, const ImageSpec& image, Kernels kernels) {
  check_fits(options, image);
  return std::visit(
      [&]<class Options>(const Options& o) -> NetworkSizes {
        if constexpr (requires { plan_of(o, image); }) {
          return walked(plan_of(o, image), o, image, kernels);
        } else {
          return walked(o, image, kernels);
        }
      },
      options);
}

double training_peak_with_tangent(const std::vector<Segment>& segments, int64_t computed_bytes) {
  WaitingSkips tangents(computed_bytes);
  double kept = 0;
  double peak = training_peak(segments, computed_bytes);
  for (const Segment& segment : segments) {
    kept += segment.input.bytes(computed_bytes);
    if (!segment.recomputed) kept += segment.inner.bytes(computed_bytes);
    // With its tangents half as many values that nothing keeps, sums and what they are of; where values are
    // recomputed, all of them.
    const double passing = segment.forward.bytes(computed_bytes) * (segment.recomputed ? 2 : 1.5);
    peak = std::max(peak, kept + tangents.bytes() + passing);
    tangents.pass(segment);
  }
  return peak;
}

PassMemory pass_memory(const std::vector<Segment>& segments, int64_t computed_bytes) {
  return {.kept = total_kept(segments, computed_bytes),
          .training_peak = training_peak(segments, computed_bytes),
          .inference_peak = inference_peak(segments, computed_bytes)};
}

}  // namespace cm
