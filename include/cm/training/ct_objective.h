// Consistency training (CM Algorithm 3).
#pragma once

#include "cm/diffusion/distance.h"
#include "cm/diffusion/weighting.h"
#include "cm/training/curriculum.h"
#include "cm/training/method.h"

namespace cm {

struct CtOptions {
  static constexpr MethodName name{"ct", "cm-train-ct", "consistency training (CM Algorithm 3)"};
  LevelOptions levels = {};
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

Method method_of(const CtOptions& options, int64_t total_steps);
Objective objective_of(const CtOptions& options, const Binding& binding);

}  // namespace cm
