// Consistency training (CM Algorithm 3).
#pragma once

#include "cm/diffusion/distance.h"
#include "cm/diffusion/weighting.h"
#include "cm/training/curriculum.h"
#include "cm/training/losses.h"
#include "cm/training/model.h"
#include "cm/training/objective.h"

namespace cm {

struct CtOptions {
  LevelOptions levels;
  DecayOptions target{.schedule = DecaySchedule::adaptive, .mu = 0.9};
  Distance distance = Distance::l2;
  Weighting weighting = Weighting::uniform;
};

template <class Visitor>
void fields(Visitor& visit, CtOptions& o) {
  visit("levels", o.levels, "N(k)");
  visit("target", o.target, "μ(k)");
  visit("distance", o.distance, "d");
  visit("weighting", o.weighting, "λ at the larger noise level");
}

Objective ct_objective(const CtOptions& options, const DistanceFunction& distance, const Model& student,
                       const Model& target, int64_t total_steps, uint64_t seed);

}  // namespace cm
