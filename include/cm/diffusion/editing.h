// Zero-shot editing with a consistency function (CM §3 and Algorithm 4). An edit keeps a part of a reference
// y: of A y for an orthogonal map A. With the mask Ω, 1 where A x is free,
//
//   x ← A⁻¹[(A y) ⊙ (1 − Ω) + (A x) ⊙ Ω]
//
// after every evaluation of multistep sampling. The tasks differ in A and Ω alone. What needs neither is
// plain sampling from another start: stroke-guided editing (SDEdit, Meng et al. 2021, arXiv 2108.01073) is
// sample_multistep from y + σ z at a chosen σ, denoising is sample_onestep at the picture's own σ.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "cm/diffusion/denoiser.h"
#include "cm/diffusion/sampler.h"

namespace cm {

// H x, with the Householder reflection H that exchanges the unit vector `direction` [D] with e₁, along the
// last dimension of x [..., D]. H is orthogonal, symmetric and its own inverse, and its first row is
// `direction`: coefficient 0 of H x is ⟨direction, x⟩.
Tensor reflect(const Tensor& x, const Tensor& direction);

// A and A⁻¹ on images [B, C, H, W]; the coefficients A x may have another shape.
struct OrthogonalMap {
  std::function<Tensor(const Tensor& x)> apply;
  std::function<Tensor(const Tensor& coefficients)> invert;
};

// A = I.
OrthogonalMap identity_map();

// [B, C, H, W] → [B, C, H/p, W/p, p²] for p = `side`: an orthogonal matrix on every p×p patch, with a
// constant first row: coefficient 0 is p times the patch's mean.
OrthogonalMap patch_map(int64_t side);

// The weights of red, green and blue in the luma of a picture (ITU-R BT.601, as the release rounds them).
inline constexpr std::array<double, 3> kLuma = {0.2989, 0.5870, 0.1140};

// [B, 3, H, W] → [B, H, W, 3]: an orthogonal matrix on the colour channels, whose first row is the luma
// direction, `weights` normalised to length 1.
OrthogonalMap luma_map(const std::array<double, 3>& weights = kLuma);

// The known part of the reference y [B, C, H, W]: where `known` = 1 − Ω (bool, of A y's shape or broadcast to
// it).
struct Constraint {
  OrthogonalMap map;
  Tensor known;
  Tensor reference;
};

// Inpainting: the pixels where `known` (bool, broadcast to y) is true.
Constraint known_pixels(const Tensor& y, const Tensor& known);
// Super-resolution by the factor p = `side`: the mean of every p×p patch, each channel for itself. InputError
// when p does not divide both sides.
Constraint known_patch_means(const Tensor& y, int64_t side);
// Colorization: the component along the luma direction. The other two are free, so the known part alone looks
// tinted (grey_level does not). InputError for images that have not 3 channels.
Constraint known_luma(const Tensor& y, const std::array<double, 3>& weights = kLuma);

// A⁻¹[(A y) ⊙ (1 − Ω) + (A x) ⊙ Ω], of x's dtype. Known pixels are y's bit for bit; a mean or luma is y's to
// rounding.
Tensor project(const Constraint& constraint, const Tensor& x);

// A⁻¹[(A y) ⊙ (1 − Ω)]: what is kept of y, and 0 elsewhere.
Tensor known_part(const Constraint& constraint);

// [B, 1, H, W]: the level of grey that has the luma component of y [B, 3, H, W].
Tensor grey_level(const Tensor& y);

// CM Algorithm 4 along `times`, as sample_multistep: x ← f(x, t_i), project, x ← x + √(t_{i+1}² − ε²) z. The
// paper's `start` is known_part + t_0 z. Pass clamped(consistency) for the release's behaviour: the clamp
// comes before the projection, and the result is not clamped.
Tensor edit_multistep(const Denoiser& consistency, const Constraint& constraint, const Tensor& start,
                      const std::vector<double>& times, double sigma_min, const NoiseSource& noise);

// Points on the great arc from a to b (one shape […]): sin((1 − u) θ)/sin θ · a + sin(u θ)/sin θ · b for each
// u of `fractions`, θ the angle between them; [fractions.size(), …]. For a and b of unit normal noise every
// point is as probable as they are. A straight line where the arc is none (θ = 0 or π).
Tensor spherical_interpolation(const Tensor& a, const Tensor& b, const std::vector<double>& fractions);

}  // namespace cm
