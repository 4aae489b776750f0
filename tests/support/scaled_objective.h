// Steps whose loss is not what it should be, and what a step has done to the weights.
#pragma once

#include <algorithm>
#include <limits>

#include "cm/training/edm_objective.h"
#include "cm/training/optimizer.h"

namespace cm::test {

inline Tensor flat(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> parts;
  for (const auto& tensor : tensors) parts.push_back(tensor.detach().flatten());
  return torch::cat(parts);
}

inline OptimizerOptions plain_descent() {
  OptimizerOptions options;  // RAdam's first step is θ − lr · gradient
  options.lr = 1;
  return options;
}

// An edm objective with its loss, and so its gradient, times a factor in the steps given.
inline Objective scaled_in(const std::vector<int64_t>& steps, double factor, const Model& student) {
  Objective objective = objective_of(EdmOptions{}, {.student = student, .seed = 7});
  objective.losses = [whole = objective.losses, steps, factor](const TrainingBatch& batch) {
    const bool scaled = std::ranges::find(steps, batch.step) != steps.end();
    return scaled ? whole(batch) * factor : whole(batch);
  };
  return objective;
}

// One whose loss is NaN in the steps given.
inline Objective broken_in(const std::vector<int64_t>& steps, const Model& student) {
  return scaled_in(steps, std::numeric_limits<double>::quiet_NaN(), student);
}

}  // namespace cm::test
