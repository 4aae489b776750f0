// The scalars of one update by Adam's rule, for a processor of any kind.
#pragma once

#include <cmath>
#include <cstdint>

#include "cm/kernels/adam_rule.h"

#ifdef __CUDACC__
#define CM_HOST_DEVICE __host__ __device__
#else
#define CM_HOST_DEVICE
#endif

namespace cm {

//   g ← factor · gradient + added_decay θ,  θ ← shrink θ,  m ← m + (1 − β₁)(g − m),  v ← β₂ v + (1 − β₂) g²,
//   θ ← θ − step · m / (√v / root + eps),  or  θ ← θ − step · m  without `adaptive`.
struct AdamUpdate {
  double beta1;
  double beta2;
  double eps;
  double factor = 1;
  double step = 0;
  double root = 1;
  double added_decay = 0;
  double shrink = 1;
  bool adaptive = true;
};

// Update number `updates` = t.
CM_HOST_DEVICE inline AdamUpdate adam_update_at(const AdamRule& rule, int64_t updates, double lr,
                                                double factor) {
  const auto t = static_cast<double>(updates);
  const double correction2 = 1 - std::pow(rule.beta2, t);
  AdamUpdate update{.beta1 = rule.beta1, .beta2 = rule.beta2, .eps = rule.eps, .factor = factor};
  update.step = lr / (1 - std::pow(rule.beta1, t));
  if (rule.decoupled) {
    update.shrink = 1 - lr * rule.weight_decay;
  } else {
    update.added_decay = rule.weight_decay;
  }
  if (!rule.rectified) {
    update.root = std::sqrt(correction2);
    return update;
  }
  constexpr double kThreshold = 5;
  const double rho_inf = 2 / (1 - rule.beta2) - 1;
  const double rho = rho_inf - 2 * t * std::pow(rule.beta2, t) / correction2;
  update.adaptive = rho > kThreshold;
  if (update.adaptive) {
    const double r = std::sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho));
    update.step *= r * std::sqrt(correction2);
  }
  return update;
}

}  // namespace cm
