// How an objective's noise levels are distributed, told from many of them.
#pragma once

#include <gtest/gtest.h>

#include <cmath>

#include "cm/base/random.h"
#include "cm/training/objective.h"

namespace cm::test {

inline constexpr int64_t kLevelDraws = 20'000;

// ln σ ~ N(mean, std²), to five standard errors.
inline void expect_log_normal_levels(const Objective& objective, double mean, double std) {
  const Tensor logs = objective.sigmas(5, sample_range(0, kLevelDraws)).log();
  const double root_n = std::sqrt(static_cast<double>(kLevelDraws));
  EXPECT_NEAR(logs.mean().item<double>(), mean, 5 * std / root_n);
  EXPECT_NEAR(logs.std().item<double>(), std, 5 * std / (std::sqrt(2.0) * root_n));
}

}  // namespace cm::test
