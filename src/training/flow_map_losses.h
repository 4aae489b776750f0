// The losses of flow maps, as equations of mean velocities u(z, t, s): pure functions that know no network,
// file or generator. Each gives one number a sample, [B], differentiable in the student's u; targets are held
// fixed.
#pragma once

#include "cm/diffusion/path.h"
#include "cm/training/flow_map_options.h"

namespace cm {

// The velocity of a flow at z [B, …] and t [B].
using VelocityField = std::function<Tensor(const Tensor& z, const Tensor& t)>;

// L/sg(L + ε)^p, L = ‖a − sg b‖² summed over each sample.
Tensor adaptive_square(const Tensor& a, const Tensor& b, const AdaptiveNorm& norm);

// Eulerian: the start of the map may move along the trajectory, dX(z_t, t, s)/dt = 0. u is drawn to
//
//   u − g,  g = −dX/dt    (Path::drift_of_start);  on the linear path v − (t − s) du/dt (MeanFlow Eq. 10)
//
// where `at` has the velocity to follow: the data's for MeanFlow, a teacher's for distillation (Boffi et al.,
// arXiv 2406.07507, Eq. 13; 2505.18825).
Tensor eulerian_loss(const Path& path, const MeanVelocity& u, const PathPoint& at, const Tensor& s,
                     const AdaptiveNorm& norm);

// Lagrangian: the end of the map moves along the flow, dX(z, t, s)/ds = b(X, s) (arXiv 2406.07507, Eq. 11). u
// is drawn to u − (dX/ds − b(X, s))    (Path::drift_of_end).
Tensor lagrangian_loss(const Path& path, const MeanVelocity& u, const VelocityField& flow,
                       const PathPoint& at, const Tensor& s, const AdaptiveNorm& norm);

// α-Flow (arXiv 2510.20771, Eq. 7) on the linear path: with δ = α (t − s), u(z, t, s) is drawn to
//
//   α v + (1 − α) u⁻(z − δ v, t − δ, s)
//
// and the loss weighed by α, [B]. α = 1 is flow matching to the end of the interval.
Tensor alpha_flow_loss(const MeanVelocity& u, const PathPoint& at, const Tensor& s, const Tensor& alpha,
                       const AdaptiveNorm& norm);

// Two steps of length d by u⁻ (shortcut models, arXiv 2410.12557, Eq. 5) on the linear path: ½ (u⁻(z, t, t −
// d′) + u⁻(z′, t − d, t − d − d′)), z′ = z − d u⁻, where d′ = 0 for the shortest step and d for all others.
// z′ and the mean are cut to ±`clip`. d and d_told (d′), [B].
Tensor shortcut_target(const MeanVelocity& u, const Tensor& z, const Tensor& t, const Tensor& d,
                       const Tensor& d_told, double clip);

// Inductive moment matching (arXiv 2503.07565, Eq. 12 and 67): of each group of `group` samples the squared
// maximum mean discrepancy, Σ k(a, a′) − 2 k(a, b) + k(b, b′) over group², of a and sg b under the Laplace
// kernel exp(−scale · max(‖x − y‖, 1e-8)/D) of D numbers. a, b [B, …], scale [B], the same in a group; every
// sample gets its group's.
Tensor moment_matching_loss(const Tensor& a, const Tensor& b, const Tensor& scale, int64_t group);

}  // namespace cm
