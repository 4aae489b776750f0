// Every form of Adam's rule.
#pragma once

#include <cstdint>
#include <vector>

#include "cm/kernels/adam_rule.h"

namespace cm::test {

struct RuleCase {
  AdamRule rule;
  int64_t t;
};

// Plain, with either decay, and RAdam before (t ≤ 5) and after its second moment counts.
inline std::vector<RuleCase> rule_cases() {
  const AdamRule adam{.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-3};
  AdamRule decayed = adam;
  decayed.weight_decay = 0.1;
  AdamRule shrunk = decayed;
  shrunk.decoupled = true;
  AdamRule rectified = decayed;
  rectified.rectified = true;
  return {{adam, 3}, {decayed, 1}, {shrunk, 7}, {rectified, 5}, {rectified, 6}, {rectified, 4000}};
}

}  // namespace cm::test
