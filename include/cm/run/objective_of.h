// From a run's configuration to its objective.
#pragma once

#include <memory>

#include "cm/nn/lpips.h"
#include "cm/run/run_config.h"

namespace cm {

// What an objective refers to, and so must outlive it. `target` and `teacher` are there where method_of
// (cm/run/method.h) says so; progressive distillation changes its teacher.
struct ObjectiveModels {
  const Model& student;
  const Model* target = nullptr;
  Model* teacher = nullptr;
};

// By the section of config.objective, or its defaults, with draws from train.seed. `lpips` must be there
// where the section's distance is lpips.
Objective objective_of(const RunConfig& config, const ObjectiveModels& models,
                       std::shared_ptr<const Lpips> lpips = nullptr);

}  // namespace cm
