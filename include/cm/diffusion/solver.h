// One step of the probability-flow ODE dx/dσ = (x − D(x, σ))/σ (EDM Eq. 1; CM Eq. 6).
#pragma once

#include "cm/base/fields.h"
#include "cm/diffusion/denoiser.h"

namespace cm {

// What each of them is stands in its row of solver.cpp.
enum class Solver {
  euler,
  heun,          // the mean of both ends' slopes (EDM Algorithm 1)
  midpoint,      // the slope at (σ + σ')/2
  dpm,           // the slope at ((σ^⅓ + σ'^⅓)/2)³, the release's "dpm" sampler
  dpm_solver_2,  // the slope at √(σσ') (Lu et al. 2022, arXiv 2206.00927, Algorithm 1)
  rk4,           // the classical Runge–Kutta method
};

// x at sigma → x at sigma_next. x [B, …]; sigma, sigma_next [B], sigma > 0; sigma_next > 0, or 0 under
// rule_to_zero(solver).
Tensor solver_step(Solver solver, const Denoiser& denoiser, const Tensor& x, const Tensor& sigma,
                   const Tensor& sigma_next);

// The rule of a step to σ' = 0: the solver itself, or Euler's where it would evaluate the slope at 0.
Solver rule_to_zero(Solver solver);

// p: the error of a walk of n steps falls as n^−p.
int64_t order_of_convergence(Solver solver);

}  // namespace cm
