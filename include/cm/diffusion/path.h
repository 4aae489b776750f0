// Paths from data to noise in a time of their own,
//
//   z_t = α_t x + β_t e,  e ~ N(0, I),  v = dz_t/dt = α′_t x + β′_t e,
//
// which differ from EDM's x_σ = x + σ e by scale alone: z_t = α_t x_σ at σ = β_t/α_t. A network on a path
// says velocities, from which `move` makes its flow map.
#pragma once

#include "cm/diffusion/flow_map.h"

namespace cm {

enum class PathKind {
  linear,  // z_t = (1 − t) x + t e, t in [0, 1] (flow matching, arXiv 2210.02747; rectified flow, 2209.03003)
  trig,    // z_t = cos(t) x + sin(t) σ_d e, t in [0, π/2] (TrigFlow; sCM, arXiv 2410.11081, §3.1)
};

// Where a trajectory is, and how it goes on there.
struct PathPoint {
  Tensor z;         // [B, …]
  Tensor t;         // [B]
  Tensor velocity;  // dz/dt, of z's shape
};

struct Path {
  PathKind kind = PathKind::linear;
  double sigma_data = 0.5;  // σ_d of trig

  // The time of a noise level, of its shape, and the other way round: σ/(1 + σ), or arctan(σ/σ_d).
  Tensor time(const Tensor& sigma) const;
  Tensor level(const Tensor& t) const;

  // α_t, of t's shape: what x_σ is multiplied by.
  Tensor scale(const Tensor& t) const;

  // The deviation of its noise, 1 or σ_d, for unit noise e.
  double noise() const { return kind == PathKind::linear ? 1 : sigma_data; }

  // z_t of data x [B, …], unit noise e of x's shape and times t [B], with the velocity e − x, or cos(t) σ_d e
  // − sin(t) x.
  PathPoint between(const Tensor& x, const Tensor& e, const Tensor& t) const;

  // The velocity of the probability-flow ODE, which a denoiser D(x_σ, σ) implies: (z − D)/t, or (cos(t) z −
  // D)/sin(t). 0 < t, and below its end, where σ is infinite.
  Tensor velocity(const Denoiser& denoiser, const Tensor& z, const Tensor& t) const;

  // How much of a mean velocity there is in X(z, t, s): t − s, or sin(t − s).
  Tensor reach(const Tensor& t, const Tensor& s) const;

  // X(z, t, s) along the mean velocity u: z − (t − s) u (MeanFlow, arXiv 2505.13447, Eq. 12), or cos(t − s) z
  // − sin(t − s) u. For s = t, u is the velocity itself.
  Tensor move(const Tensor& z, const Tensor& u, const Tensor& t, const Tensor& s) const;

  // −dX/dt along the trajectory through `at`, whose velocity counts, where du/dt is u's change along it:
  // u − v + (t − s) du/dt, or cos(t − s) (u − v) + sin(t − s) (z + du/dt). It vanishes for the flow map.
  Tensor drift_of_start(const PathPoint& at, const Tensor& u, const Tensor& du_dt, const Tensor& s) const;

  // dX/ds for the same z and t, where du/ds is u's change: u − (t − s) du/ds, or cos(t − s) u + sin(t − s)
  // (z − du/ds). For the flow map it is the velocity at X.
  Tensor drift_of_end(const PathPoint& at, const Tensor& u, const Tensor& du_ds, const Tensor& s) const;
};

// (z [B, …], t [B], s [B]) → u, of z's shape.
using MeanVelocity = std::function<Tensor(const Tensor& z, const Tensor& t, const Tensor& s)>;

// The flow map between noise levels that u defines: x ↦ X(α_t x, t, s)/α_s at their times.
FlowMap flow_of(const Path& path, MeanVelocity u);

}  // namespace cm
