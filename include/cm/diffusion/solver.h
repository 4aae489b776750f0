// One step of the probability-flow ODE dx/dσ = (x − D(x, σ))/σ (EDM Eq. 1; CM Eq. 6).
#pragma once

#include "cm/base/fields.h"
#include "cm/diffusion/denoiser.h"

namespace cm {

enum class Solver {
  euler,         // order 1, one evaluation
  heun,          // order 2, two evaluations (EDM Algorithm 1)
  midpoint,      // order 2, two evaluations, midpoint (σ + σ')/2
  dpm,           // the same with the midpoint ((σ^⅓ + σ'^⅓)/2)³, the release's "dpm" sampler
  dpm_solver_2,  // the same with the midpoint √(σσ') (Lu et al. 2022)
  rk4,           // order 4, four evaluations, the classical Runge–Kutta method
};
template <>
struct EnumNames<Solver> {
  static constexpr std::array names = {EnumName{Solver::euler, "euler"},
                                       EnumName{Solver::heun, "heun"},
                                       EnumName{Solver::midpoint, "midpoint"},
                                       EnumName{Solver::dpm, "dpm"},
                                       EnumName{Solver::dpm_solver_2, "dpm_solver_2"},
                                       EnumName{Solver::rk4, "rk4"}};
};

// x at sigma → x at sigma_next. x [B, …]; sigma, sigma_next [B], sigma > 0; sigma_next > 0, or 0 under
// rule_to_zero(solver).
Tensor solver_step(Solver solver, const Denoiser& denoiser, const Tensor& x, const Tensor& sigma,
                   const Tensor& sigma_next);

// The rule of a step to σ' = 0, where Heun, DPM-Solver-2 and RK4 would evaluate the slope at 0: Euler's for
// all but dpm, which keeps its midpoint σ/8, as in the release.
Solver rule_to_zero(Solver solver);

// Evaluations of the denoiser in one step.
int64_t evaluations(Solver solver);

}  // namespace cm
