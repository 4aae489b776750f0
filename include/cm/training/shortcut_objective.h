// Shortcut models (Frans et al., arXiv 2410.12557): flow matching on most of a batch, and on the rest steps
// of length 2d that go where two of length d go.
#pragma once

#include "cm/base/limits.h"
#include "cm/training/curriculum.h"
#include "cm/training/method.h"

namespace cm {

struct ShortcutOptions {
  static constexpr MethodName name{"shortcut", "cm-train-ct",
                                   "flow maps from data whose steps double (shortcut models)"};
  int64_t finest = 128;
  double consistency_share = 0.25;
  double clip = 4;
  double mu = 0.999;
};

template <class Visitor>
void fields(Visitor& visit, ShortcutOptions& o) {
  visit("finest", o.finest, "steps M of the finest sampling, a power of two: times are multiples of 1/M",
        within(2, kMostLevels));
  visit("consistency_share", o.consistency_share,
        "share of the batch whose target is two steps by the target network; the official code has 0.125",
        Range{.min = 0, .max = 1});
  visit("clip", o.clip, "largest number in a target, others are cut", above(0));
  visit("mu", o.mu, "decay μ of the target network; 0: the student itself", from_below(0, 1));
}

void validate(const ShortcutOptions& options, const Complain& complain);

Method method_of(const ShortcutOptions& options, int64_t total_steps);
Objective objective_of(const ShortcutOptions& options, const Binding& binding);

}  // namespace cm
