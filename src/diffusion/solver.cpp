#include "cm/diffusion/solver.h"

namespace cm {
namespace {

// dx/dσ of the probability-flow ODE.
Tensor slope(const Denoiser& denoiser, const Tensor& x, const Tensor& sigma) {
  return (x - denoiser(x, sigma)) / per_sample(sigma, x);
}

// x' = x + (σ' − σ) g(x + (σ_m − σ) g(x, σ), σ_m)
Tensor midpoint_step(const Denoiser& denoiser, const Tensor& x, const Tensor& sigma, const Tensor& middle,
                     const Tensor& sigma_next) {
  const Tensor x_middle = x + per_sample(middle - sigma, x) * slope(denoiser, x, sigma);
  return x + per_sample(sigma_next - sigma, x) * slope(denoiser, x_middle, middle);
}

Tensor heun_step(const Denoiser& denoiser, const Tensor& x, const Tensor& sigma, const Tensor& sigma_next) {
  const Tensor h = per_sample(sigma_next - sigma, x);
  const Tensor first = slope(denoiser, x, sigma);
  const Tensor second = slope(denoiser, x + h * first, sigma_next);
  return x + h / 2 * (first + second);
}

Tensor rk4_step(const Denoiser& denoiser, const Tensor& x, const Tensor& sigma, const Tensor& sigma_next) {
  const Tensor middle = (sigma + sigma_next) / 2;
  const Tensor h = per_sample(sigma_next - sigma, x);
  const Tensor k1 = slope(denoiser, x, sigma);
  const Tensor k2 = slope(denoiser, x + h / 2 * k1, middle);
  const Tensor k3 = slope(denoiser, x + h / 2 * k2, middle);
  const Tensor k4 = slope(denoiser, x + h * k3, sigma_next);
  return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
}

}  // namespace

Tensor solver_step(Solver solver, const Denoiser& denoiser, const Tensor& x, const Tensor& sigma,
                   const Tensor& sigma_next) {
  switch (solver) {
    case Solver::euler:
      return x + per_sample(sigma_next - sigma, x) * slope(denoiser, x, sigma);
    case Solver::heun:
      return heun_step(denoiser, x, sigma, sigma_next);
    case Solver::midpoint:
      return midpoint_step(denoiser, x, sigma, (sigma + sigma_next) / 2, sigma_next);
    case Solver::dpm: {
      const Tensor root = (sigma.pow(1.0 / 3) + sigma_next.pow(1.0 / 3)) / 2;
      return midpoint_step(denoiser, x, sigma, root.pow(3), sigma_next);
    }
    case Solver::dpm_solver_2:
      return midpoint_step(denoiser, x, sigma, (sigma * sigma_next).sqrt(), sigma_next);
    case Solver::rk4:
      return rk4_step(denoiser, x, sigma, sigma_next);
  }
  TORCH_INTERNAL_ASSERT(false, "not a solver");
}

Solver rule_to_zero(Solver solver) {
  switch (solver) {
    case Solver::dpm:
      return Solver::dpm;
    case Solver::euler:
    case Solver::heun:
    case Solver::midpoint:
    case Solver::dpm_solver_2:
    case Solver::rk4:
      return Solver::euler;
  }
  TORCH_INTERNAL_ASSERT(false, "not a solver");
}

int64_t evaluations(Solver solver) {
  switch (solver) {
    case Solver::euler:
      return 1;
    case Solver::heun:
    case Solver::midpoint:
    case Solver::dpm:
    case Solver::dpm_solver_2:
      return 2;
    case Solver::rk4:
      return 4;
  }
  TORCH_INTERNAL_ASSERT(false, "not a solver");
}

}  // namespace cm
