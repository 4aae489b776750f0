// An objective for ranks that are threads of one process.
#pragma once

#include <mutex>

#include "cm/training/objective.h"

namespace cm::test {

// Forward-mode differentiation has one level a process, which such ranks must take in turns.
inline Objective one_at_a_time(Objective objective) {
  objective.losses = [whole = objective.losses](const TrainingBatch& batch) {
    static std::mutex turn;
    const std::lock_guard lock(turn);
    return whole(batch);
  };
  return objective;
}

}  // namespace cm::test
