// Forward-mode differentiation while it lives.
#pragma once

#include <torch/csrc/autograd/autograd.h>

namespace cm::test {

class DualLevel {
 public:
  DualLevel() : level_(torch::autograd::forward_ad::enter_dual_level()) {}
  ~DualLevel() { torch::autograd::forward_ad::exit_dual_level(level_); }
  DualLevel(const DualLevel&) = delete;
  DualLevel& operator=(const DualLevel&) = delete;

 private:
  uint64_t level_;
};

}  // namespace cm::test
