#include "cm/diffusion/solver.h"

namespace cm {
namespace {

// dx/dσ of the probability-flow ODE.
Tensor slope(const Denoiser& denoiser, const Tensor& x, const Tensor& sigma) {
  return (x - denoiser(x, sigma)) / per_sample(sigma, x);
}

Tensor euler_step(const Denoiser& denoiser, const Tensor& x, const Tensor& sigma, const Tensor& sigma_next) {
  return x + per_sample(sigma_next - sigma, x) * slope(denoiser, x, sigma);
}

Tensor heun_step(const Denoiser& denoiser, const Tensor& x, const Tensor& sigma, const Tensor& sigma_next) {
  const Tensor h = per_sample(sigma_next - sigma, x);
  const Tensor first = slope(denoiser, x, sigma);
  const Tensor second = slope(denoiser, x + h * first, sigma_next);
  return x + h / 2 * (first + second);
}

// x' = x + (σ' − σ) g(x + (σ_m − σ) g(x, σ), σ_m) with σ_m = `middle`(σ, σ').
template <Tensor (*middle)(const Tensor& sigma, const Tensor& sigma_next)>
Tensor midpoint_step(const Denoiser& denoiser, const Tensor& x, const Tensor& sigma,
                     const Tensor& sigma_next) {
  const Tensor sigma_m = middle(sigma, sigma_next);
  const Tensor x_m = x + per_sample(sigma_m - sigma, x) * slope(denoiser, x, sigma);
  return x + per_sample(sigma_next - sigma, x) * slope(denoiser, x_m, sigma_m);
}

Tensor mean(const Tensor& a, const Tensor& b) {
  return (a + b) / 2;
}
Tensor mean_of_cube_roots(const Tensor& a, const Tensor& b) {
  return mean(a.pow(1.0 / 3), b.pow(1.0 / 3)).pow(3);
}
Tensor geometric_mean(const Tensor& a, const Tensor& b) {
  return (a * b).sqrt();
}

Tensor rk4_step(const Denoiser& denoiser, const Tensor& x, const Tensor& sigma, const Tensor& sigma_next) {
  const Tensor middle = mean(sigma, sigma_next);
  const Tensor h = per_sample(sigma_next - sigma, x);
  const Tensor k1 = slope(denoiser, x, sigma);
  const Tensor k2 = slope(denoiser, x + h / 2 * k1, middle);
  const Tensor k3 = slope(denoiser, x + h / 2 * k2, middle);
  const Tensor k4 = slope(denoiser, x + h * k3, sigma_next);
  return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
}

struct Rule {
  int64_t order;
  Solver to_zero;
  Tensor (*step)(const Denoiser& denoiser, const Tensor& x, const Tensor& sigma, const Tensor& sigma_next);
};

Rule rule_of(Solver solver) {
  switch (solver) {
    case Solver::euler:
      return {1, Solver::euler, euler_step};
    case Solver::heun:
      return {2, Solver::euler, heun_step};
    case Solver::midpoint:
      return {2, Solver::euler, midpoint_step<mean>};
    case Solver::dpm:  // its middle is σ/8 there, as in the release
      return {2, Solver::dpm, midpoint_step<mean_of_cube_roots>};
    case Solver::dpm_solver_2:
      return {2, Solver::euler, midpoint_step<geometric_mean>};
    case Solver::rk4:
      return {4, Solver::euler, rk4_step};
  }
  TORCH_INTERNAL_ASSERT(false, "not a solver");
}

}  // namespace

Tensor solver_step(Solver solver, const Denoiser& denoiser, const Tensor& x, const Tensor& sigma,
                   const Tensor& sigma_next) {
  return rule_of(solver).step(denoiser, x, sigma, sigma_next);
}

Solver rule_to_zero(Solver solver) {
  return rule_of(solver).to_zero;
}

int64_t order_of_convergence(Solver solver) {
  return rule_of(solver).order;
}

}  // namespace cm
