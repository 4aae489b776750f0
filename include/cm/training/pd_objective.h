// Progressive distillation (PD; Salimans & Ho 2022, arXiv 2202.00512, Algorithm 2): a student learns to do in
// one Euler step what its teacher does in two, then becomes the teacher of the next, with half its steps.
#pragma once

#include "cm/base/limits.h"
#include "cm/diffusion/distance.h"
#include "cm/diffusion/weighting.h"
#include "cm/training/method.h"

namespace cm {

// The stages: the student takes start_steps = N₀, N₀/2, …, 2, 1 steps; each stage lasts steps_per_stage
// training steps, that of N = 2 steps_two, and that of N = 1 the rest of the run. A run that ends earlier
// leaves a student of more steps.
struct PdOptions {
  static constexpr MethodName name{"pd", "cm-train-pd", "progressive distillation (PD)"};
  int64_t start_steps = 4096;
  int64_t steps_per_stage = 50000;
  std::optional<int64_t> steps_two = std::nullopt;
  Distance distance = Distance::l2;
  Weighting weighting = Weighting::truncated_snr;
};

template <class Visitor>
void fields(Visitor& visit, PdOptions& o) {
  visit("start_steps", o.start_steps,
        "sampling steps N of the first student, a power of two; its teacher takes 2 N. Halved stage by stage "
        "down to 1",
        within(1, kMostLevels / 2));
  visit("steps_per_stage", o.steps_per_stage, "training steps of each stage down to N = 4",
        within(1, kMostSteps));
  visit("steps_two", o.steps_two,
        "training steps of the stage N = 2. Default: twice steps_per_stage. The stage N = 1 takes the rest "
        "of train.steps",
        within(1, kMostSteps));
  visit("distance", o.distance, "d");
  visit("weighting", o.weighting, "λ at the noise level where the student's step starts");
}

void validate(const PdOptions& options, const Complain& complain);

// The stage of step k of `total_steps`.
Stage pd_stage(const PdOptions& options, int64_t step, int64_t total_steps);

Method method_of(const PdOptions& options, int64_t total_steps);

// Each stage replaces the teacher. Only the first stage's is guided: later ones say in ModelOptions::guidance
// that they learned it.
Objective objective_of(const PdOptions& options, const Binding& binding);

}  // namespace cm
