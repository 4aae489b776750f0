// Whether to do something, to stop or to save, decided by all ranks at the same step.
#pragma once

#include <optional>

#include "cm/distributed/world.h"

namespace cm {

class Agreement {
 public:
  explicit Agreement(World world) : world_(std::move(world)) {}

  // Once a step, with this rank's own wish; the same answer on all ranks: whether any wished it in the last
  // step but this. Ranks ask while the next step runs, so that none waits. Alone, the wish itself. Error when
  // a rank is lost.
  bool agreed(bool wish);

 private:
  World world_;
  Tensor wishes_;  // int64 [1], how many wished it, when asked_ is done
  std::optional<Pending> asked_;
};

}  // namespace cm
