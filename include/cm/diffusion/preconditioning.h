// From a raw network F_θ to a denoiser or a consistency function.
//
//   D(x, σ) = c_skip(σ) x + c_out(σ) F(c_in(σ) x, c_noise(σ))                       (EDM Eq. 7)
//
// with the scalings that the parameterization prescribes (EDM Table 1; CM Eq. 4 and 5, Appendix C).
#pragma once

#include <functional>
#include <optional>

#include "cm/base/fields.h"
#include "cm/diffusion/denoiser.h"
#include "cm/diffusion/discretization.h"
#include "cm/diffusion/path.h"

namespace cm {

enum class Parameterization {
  edm,               // a diffusion model's denoiser
  skip,              // a consistency function with skip connection (CM Eq. 5); f(x, ε) = x by construction
  piecewise,         // a consistency function that is x at ε and F elsewhere (CM Eq. 4)
  trig,              // a consistency function of TrigFlow (sCM), with f(x, 0) = x
  trig_diffusion,    // a diffusion model's denoiser of TrigFlow: trig's scalings
  vp_diffusion,      // a diffusion model's denoiser of DDPM's levels: the network says the noise (DiT)
  linear_diffusion,  // a diffusion model's denoiser of the linear path: the network says its velocity
  linear_map,        // a flow map of the linear path: the network says mean velocities (MeanFlow)
  trig_map,          // a flow map of TrigFlow
};

// Whether it makes a diffusion model's denoiser; otherwise a consistency function, that of a flow map being
// the map to σ = 0.
bool is_diffusion(Parameterization parameterization);

// Whether it makes a flow map, of a network with two times.
bool is_flow_map(Parameterization parameterization);

// The path in whose time the network is told where it is; none: by c_noise (network_time), or in
// vp_diffusion by ddpm_time.
std::optional<PathKind> path_kind(Parameterization parameterization);

// Whether their networks are told one time: weights serve parameterizations of one time only.
bool same_time(Parameterization a, Parameterization b);

// That path; c10::Error where there is none.
Path path_of(Parameterization parameterization, const SigmaOptions& options);

// Each of sigma's shape and dtype.
struct Scalings {
  Tensor c_skip;
  Tensor c_out;
  Tensor c_in;
};

// edm:       c_skip = σ_d²/(σ² + σ_d²),            c_out = σ σ_d/√(σ² + σ_d²)
// skip:      c_skip = σ_d²/((σ − ε)² + σ_d²),  c_out = σ_d (σ − ε)/√(σ² + σ_d²)
// piecewise: c_skip = [σ = ε],                 c_out = [σ ≠ ε]
// trig:      c_skip, −c_out of edm: f = cos(t) x_t − sin(t) σ_d F(x_t/σ_d, t) with x_t = cos(t) x, tan t =
// σ/σ_d
//
// with c_in = 1/√(σ² + σ_d²) in all of these, and D = z_t − t F(z_t, t) with z_t = (1 − t) x, t = σ/(1 + σ),
// in
//
// linear_diffusion: c_skip = c_in = 1/(1 + σ),     c_out = −σ/(1 + σ)
//
// and D = x − σ F(z_t, t) with z_t = √ᾱ_t x, t the time of σ (ddpm_levels.h), in
//
// vp_diffusion:     c_skip = 1,  c_in = 1/√(σ² + 1),  c_out = −σ
//
// c10::Error for a flow map, which is no such sum.
Scalings scalings(Parameterization parameterization, const SigmaOptions& options, const Tensor& sigma);

// The network's time input, scale · ¼ ln(σ + 1e−44): EDM's c_noise in units of 1/scale (EDM: 1; the release:
// 1000).
Tensor network_time(const Tensor& sigma, double scale);

// (c_in x, time [B]) → F, of x's shape.
using RawNetwork = std::function<Tensor(const Tensor& x, const Tensor& time)>;

// The denoiser D above, of a network that takes its time in units of 1/`time_scale` (on a path, and in
// vp_diffusion: t itself).
Denoiser precondition(Parameterization parameterization, const SigmaOptions& options, double time_scale,
                      RawNetwork network);

// (z/d, t, s) → F, of z's shape: a network with two times in those of its path.
using RawMap = std::function<Tensor(const Tensor& x, const Tensor& time, const Tensor& second_time)>;

// d F(z/d, t, s), the mean velocity of a flow map's parameterization, with d = σ_d on TrigFlow's path and 1
// on the linear one.
MeanVelocity mean_velocity(const Path& path, RawMap network);

}  // namespace cm
