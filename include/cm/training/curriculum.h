// The schedules of consistency training: the number of noise levels N(k) and the target's decay μ(k) at step
// k.
#pragma once

#include <cstdint>

#include "cm/base/fields.h"
#include "cm/base/limits.h"

namespace cm {

enum class LevelSchedule {
  fixed,  // N = s0
  progressive,  // N(k) = max(1, ⌈√(k/K ((s1+1)² − s0²) + s0²) − 1⌉) + 1 (CM Appendix C, clamped as in the
                // release)
  doubling,  // N(k) = min(s0 2^⌊k/K'⌋, s1) + 1, K' = ⌊K/(log₂⌊s1/s0⌋ + 1)⌋ (iCT §3.4)
};

struct LevelOptions {
  LevelSchedule schedule = LevelSchedule::progressive;
  int64_t s0 = 2;
  int64_t s1 = 150;
};

template <class Visitor>
void fields(Visitor& visit, LevelOptions& o) {
  visit("schedule", o.schedule,
        "how the number of noise levels N(k) grows: fixed at s0, CM's, or iCT's doubling");
  visit("s0", o.s0, "levels at the start", within(1, kMostLevels));
  visit("s1", o.s1, "levels at the end", within(1, kMostLevels));
}

void validate(const LevelOptions& options, const Complain& complain);

// N(k) ≥ 2 at step `step` of `total_steps`, k counted from 0; constant after the last step.
int64_t noise_levels(const LevelOptions& options, int64_t step, int64_t total_steps);

enum class DecaySchedule {
  fixed,           // μ = mu
  adaptive,        // μ(k) = exp(s0 ln mu / (N(k) − 1)), as the release computes it
  adaptive_paper,  // μ(k) = exp(s0 ln mu / N(k)), as CM writes it
};

struct DecayOptions {
  DecaySchedule schedule = DecaySchedule::fixed;
  double mu = 0.95;
};

template <class Visitor>
void fields(Visitor& visit, DecayOptions& o) {
  visit("schedule", o.schedule,
        "how the target's decay μ(k) follows N(k): not at all, the release's or CM's formula");
  visit("mu", o.mu, "decay μ, or μ₀ of the adaptive schedules; 0 copies the student", from_below(0, 1));
}

// μ in [0, 1) when the grid has `levels` = N(k) points and started from `s0`.
double target_decay(const DecayOptions& options, int64_t s0, int64_t levels);

}  // namespace cm
