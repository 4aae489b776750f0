// SIGINT and SIGTERM as a wish to stop after the current step.
#pragma once

namespace cm {

// While it lives, the first SIGINT or SIGTERM only sets a flag; a second one does what it did before.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  bool requested() const;
};

}  // namespace cm
