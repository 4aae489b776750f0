// What a run's parts must know of its objective.
#pragma once

#include <optional>
#include <vector>

#include "cm/run/run_config.h"
#include "cm/training/distance_function.h"

namespace cm {

struct Method {
  bool needs_teacher = false;  // a frozen diffusion model, whose weights the student starts from
  bool needs_init = false;     // start weights: it tunes a model that was trained before
  bool has_target = false;     // a target network that follows the student as an average
  // Those that it can train; the first is the default.
  std::vector<Parameterization> parameterizations;
  std::optional<DistanceChoice> distance;
  // The grid whose indices name time points in sampling: the N of the last training step, where there is a
  // grid.
  std::optional<int64_t> last_levels;
};

Method method_of(const RunConfig& config);

}  // namespace cm
