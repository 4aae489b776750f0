// Samplers: from pure noise to an image, by a denoiser alone. No I/O, no networks, no clamping: pass
// clamped(denoiser) for the release's behaviour.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "cm/diffusion/denoiser.h"
#include "cm/diffusion/discretization.h"
#include "cm/diffusion/path.h"
#include "cm/diffusion/solver.h"

namespace cm {

// Unit normal noise of x's shape for step i: a pure function of i, so that draws can be replayed.
using NoiseSource = std::function<Tensor(int64_t step)>;

// f(x_T, σ_max) (CM §3): one evaluation.
Tensor sample_onestep(const Denoiser& consistency, const Tensor& x_T, double sigma_max);

// Multistep consistency sampling (CM Algorithm 1) along decreasing `times` t_0 = σ_max, t_1, …, t_n, one
// evaluation less than times: x ← f(x, t_i) + √(t_{i+1}² − ε²) z with ε = `sigma_min`. The last time only
// ends the walk: at ε it adds nothing, above ε it leaves noise in the result, as in the release.
Tensor sample_multistep(const Denoiser& consistency, const Tensor& x_T, const std::vector<double>& times,
                        double sigma_min, const NoiseSource& noise);

// Sampling by a flow map down `times` t_0 = σ_max, …, t_n ≥ 0, one evaluation less than times: each step goes
// to √(1 − γ²) t_{i+1} and adds γ t_{i+1} z (γ-sampling; CTM, arXiv 2310.02279, Algorithm 3). γ = 0 follows
// the trajectory; γ = 1 is multistep consistency sampling with ε = 0. `restart` is γ, in [0, 1].
Tensor sample_flow_map(const FlowMap& map, const Tensor& x_T, const std::vector<double>& times,
                       double restart, const NoiseSource& noise);

// The scale of the noise that multistep sampling adds at a time point: √(σ² − ε²), 0 from ε down.
double added_noise(double sigma, double sigma_min);

// Deterministic walk of the PF-ODE down `sigmas` by the solver; a final 0 is reached by rule_to_zero(solver).
Tensor sample_ode(Solver solver, const Denoiser& denoiser, const Tensor& x_T,
                  const std::vector<double>& sigmas);

// Extra noise in every step of EDM's stochastic sampler: none by default.
struct Churn {
  double s_churn = 0;
  double s_tmin = 0;
  double s_tmax = 1e9;
  double s_noise = 1;
};

// EDM Algorithm 2: raise σ to σ̂ = σ (1 + γ), γ = min(S_churn/N, √2 − 1) inside [S_tmin, S_tmax], add the
// noise that belongs to it, step from σ̂ to the next level by the solver. With no churn it is sample_ode.
Tensor sample_churned(Solver solver, const Denoiser& denoiser, const Tensor& x_T,
                      const std::vector<double>& sigmas, const Churn& churn, const NoiseSource& noise);

// Ancestral sampling (Euler): each step goes down to σ_down = √(σ'² − σ_up²) and adds σ_up z, where
// σ_up = min(σ', √(σ'² (σ² − σ'²)/σ²)).
Tensor sample_ancestral(const Denoiser& denoiser, const Tensor& x_T, const std::vector<double>& sigmas,
                        const NoiseSource& noise);

// The time points of N-step multistep sampling without a list: indices j·⌊M/N⌋, j < N, of the grid of `grid`
// levels (N = 2, M = 40: 80, 2.2404). 1 ≤ steps ≤ grid.
std::vector<double> multistep_sigmas(const SigmaOptions& sigma, int64_t steps, int64_t grid);

// The time points of N-step sampling by a flow map without a list: noise levels from σ_max to 0 at equal
// distances in the time of its path, N + 1 of them. steps ≥ 1.
std::vector<double> flow_map_sigmas(const Path& path, double sigma_max, int64_t steps);

}  // namespace cm
