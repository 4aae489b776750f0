// Beside the denoiser, the type for what takes two times: a flow map X(x, t, s).
#pragma once

#include <functional>

#include "cm/diffusion/solver.h"

namespace cm {

// (x [B, …] at noise level t [B], s [B]) → the point at level s of the probability-flow trajectory through
// (x, t), of x's shape; s may lie above t as well. X(x, t, t) = x, and X(X(x, t, r), r, s) = X(x, t, s). A
// denoiser that maps to the start of the trajectory, a consistency function, is the case s = 0.
using FlowMap = std::function<Tensor(const Tensor& x, const Tensor& t, const Tensor& s)>;

// (x, t) → X(x, t, s) with one s for all samples: a consistency function whose boundary is there.
Denoiser ending_at(FlowMap map, double s = 0);

// The flow map that a denoiser's ODE defines, to the order of the solver: `steps` ≥ 1 steps between levels
// that lie on a Karras grid, t^{1/7} + i/steps (s^{1/7} − t^{1/7}) to the 7th. t > 0; s > 0 for all samples
// or 0 for all, by rule_to_zero(solver); otherwise c10::Error.
FlowMap solved_flow(Solver solver, Denoiser denoiser, int64_t steps);

}  // namespace cm
