#include "cm/training/curriculum.h"

#include <algorithm>
#include <cmath>

#include "cm/base/text.h"

namespace cm {
namespace {

// iCT's K': steps between two doublings.
int64_t doubling_interval(const LevelOptions& options, int64_t total_steps) {
  const double doublings =
      std::log2(std::floor(static_cast<double>(options.s1) / static_cast<double>(options.s0)));
  return std::max<int64_t>(
      1, static_cast<int64_t>(std::floor(static_cast<double>(total_steps) / (doublings + 1))));
}

}  // namespace

void validate(const LevelOptions& options, const Complain& complain) {
  if (options.schedule == LevelSchedule::fixed) {
    if (options.s0 < 2) complain("s0", concat("must be at least 2 for a fixed grid, got ", options.s0));
    return;
  }
  if (options.s1 < options.s0)
    complain("s1", concat("must be at least s0 (", options.s0, "), got ", options.s1));
}

int64_t noise_levels(const LevelOptions& options, int64_t step, int64_t total_steps) {
  const auto s0 = static_cast<double>(options.s0);
  const auto s1 = static_cast<double>(options.s1);
  switch (options.schedule) {
    case LevelSchedule::fixed:
      return options.s0;
    case LevelSchedule::progressive: {
      const double progress = std::min(1.0, static_cast<double>(step) / static_cast<double>(total_steps));
      const double root = std::sqrt(progress * ((s1 + 1) * (s1 + 1) - s0 * s0) + s0 * s0);
      return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(root - 1))) + 1;
    }
    case LevelSchedule::doubling: {
      const auto doublings = static_cast<double>(step / doubling_interval(options, total_steps));
      return static_cast<int64_t>(std::min(s0 * std::exp2(doublings), s1)) + 1;
    }
  }
  TORCH_INTERNAL_ASSERT(false, "not a schedule");
}

double target_decay(const DecayOptions& options, int64_t s0, int64_t levels) {
  if (options.mu == 0) return 0;
  const double numerator = static_cast<double>(s0) * std::log(options.mu);
  switch (options.schedule) {
    case DecaySchedule::fixed:
      return options.mu;
    case DecaySchedule::adaptive:
      return std::exp(numerator / static_cast<double>(levels - 1));
    case DecaySchedule::adaptive_paper:
      return std::exp(numerator / static_cast<double>(levels));
  }
  TORCH_INTERNAL_ASSERT(false, "not a schedule");
}

}  // namespace cm
