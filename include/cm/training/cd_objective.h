// Consistency distillation (CM Algorithm 2).
#pragma once

#include "cm/base/limits.h"
#include "cm/diffusion/distance.h"
#include "cm/diffusion/weighting.h"
#include "cm/training/method.h"

namespace cm {

struct CdOptions {
  static constexpr MethodName name{"cd", "cm-train-cd", "consistency distillation (CM Algorithm 2)"};
  int64_t n = 18;
  Solver solver = Solver::heun;
  Distance distance = Distance::l2;
  Weighting weighting = Weighting::uniform;
  double mu = 0.95;
};

template <class Visitor>
void fields(Visitor& visit, CdOptions& o) {
  visit("n", o.n, "levels N of the Karras grid", within(2, kMostLevels));
  visit("solver", o.solver, "the teacher's ODE solver");
  visit("distance", o.distance, "d");
  visit("weighting", o.weighting, "λ at the larger noise level");
  visit("mu", o.mu, "the target's decay μ; 0 copies the student", from_below(0, 1));
}

Method method_of(const CdOptions& options, int64_t total_steps);
Objective objective_of(const CdOptions& options, const Binding& binding);

}  // namespace cm
