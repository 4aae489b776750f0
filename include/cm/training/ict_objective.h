// Improved consistency training (iCT): θ⁻ = sg θ, pseudo-Huber, log-normal σ on the grid, λ = 1/(t − r).
#pragma once

#include "cm/diffusion/distance.h"
#include "cm/training/curriculum.h"
#include "cm/training/method.h"

namespace cm {

struct IctOptions {
  static constexpr MethodName name{"ict", "cm-train-ct", "improved consistency training (iCT)"};
  LevelOptions levels{.schedule = LevelSchedule::doubling, .s0 = 10, .s1 = 1280};
  double p_mean = -1.1;
  double p_std = 2.0;
  Distance distance = Distance::pseudo_huber;
  double huber_c = kHuberC;
};

template <class Visitor>
void fields(Visitor& visit, IctOptions& o) {
  visit("levels", o.levels, "N(k)");
  visit("p_mean", o.p_mean, "mean of ln σ of the distribution over the grid");
  visit("p_std", o.p_std, "standard deviation of ln σ of the distribution over the grid", above(0));
  visit("distance", o.distance, "d");
  visit("huber_c", o.huber_c, "pseudo-Huber's c, divided by √(C·H·W)", above(0));
}

Method method_of(const IctOptions& options, int64_t total_steps);
Objective objective_of(const IctOptions& options, const Binding& binding);

}  // namespace cm
