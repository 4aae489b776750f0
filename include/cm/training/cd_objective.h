// Consistency distillation (CM Algorithm 2).
#pragma once

#include "cm/base/limits.h"
#include "cm/diffusion/distance.h"
#include "cm/diffusion/weighting.h"
#include "cm/training/losses.h"
#include "cm/training/model.h"
#include "cm/training/objective.h"

namespace cm {

struct CdOptions {
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

// `teacher` is an EDM denoiser with the student's classes. `distance`: what the options name, made by
// make_distance (cm/training/distance_function.h). The teacher's steps are those of D_w, w = `guidance`
// (cm/training/guided_model.h).
Objective cd_objective(const CdOptions& options, const DistanceFunction& distance, const Model& student,
                       const Model& target, const Model& teacher, uint64_t seed, double guidance = 1);

}  // namespace cm
