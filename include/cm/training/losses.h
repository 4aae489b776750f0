// The losses, as equations of denoisers: pure functions that know no network, file or generator. Each gives
// one number a sample, [B], differentiable in the student.
#pragma once

#include <functional>

#include "cm/diffusion/denoiser.h"
#include "cm/diffusion/solver.h"

namespace cm {

// weight · mean (D(x₀ + σ z, σ) − x₀)²    (EDM Eq. 2 with λ(σ) = weight). x0, noise [B, …]; sigma, weight
// [B].
Tensor denoising_loss(const Denoiser& denoiser, const Tensor& x0, const Tensor& noise, const Tensor& sigma,
                      const Tensor& weight);

// Two neighbouring noise levels a sample, [B] each, t > r.
struct SigmaPair {
  Tensor t;
  Tensor r;
};

// The point at level r on the trajectory through (x_t, t). x0 is the clean image that x_t was made from.
using PreviousPoint = std::function<Tensor(const Tensor& x_t, const Tensor& x0, const SigmaPair& pair)>;

// One step of the teacher's ODE (CM Eq. 6): consistency distillation.
PreviousPoint teacher_step(Solver solver, Denoiser teacher);

// An Euler step with x₀ in the denoiser's place, x_r = x₀ + r z (CM Eq. 10): consistency training.
PreviousPoint data_step();

// d(a, b) [B] of two image batches.
using DistanceFunction = std::function<Tensor(const Tensor& a, const Tensor& b)>;

// √(‖Δ‖² + c²) − c of each sample, ‖·‖² the sum over it; ‖Δ‖ for c = 0, with gradient 0 at Δ = 0. [B, …] →
// [B].
Tensor huber_norm(const Tensor& difference, double c);

// The denoiser with D(x, 0) = x exactly, where a network's time, ln σ, ends.
Denoiser identity_at_zero(Denoiser denoiser);

// weight · d(f(x_t, t), sg f⁻(x_r, r)),  x_t = x₀ + t z,  x_r = previous(x_t)    (CM Algorithms 2 and 3).
// No gradient reaches the target or the previous point. x0, noise [B, …]; weight [B].
Tensor consistency_loss(const Denoiser& student, const Denoiser& target, const PreviousPoint& previous,
                        const DistanceFunction& distance, const Tensor& x0, const Tensor& noise,
                        const SigmaPair& pair, const Tensor& weight);

// A step of the student from t to end, with the middle at which the teacher halves it; [B] each, t > mid >
// end.
struct HalvedStep {
  Tensor t;
  Tensor mid;
  Tensor end;
};

// The denoised image with which one Euler step from (x_t, t) arrives where two of the teacher's arrive,
// x_end:
//
//   x_t − t (x_end − x_t)/(end − t)    (PD Algorithm 2 in σ)
//
// computed as what that is: w D(x_t, t) + (1 − w) D(x_mid, mid), w = end (t − mid)/(mid (t − end)). On a fine
// grid (PD starts at 4096 steps) the difference x_end − x_t would lose half of fp32's digits.
Tensor two_step_target(const Denoiser& teacher, const Tensor& x_t, const HalvedStep& step);

// weight · d(D(x_t, t), sg target),  x_t = x₀ + t z    (PD Algorithm 2). x0, noise [B, …]; weight [B].
Tensor progressive_loss(const Denoiser& student, const Denoiser& teacher, const DistanceFunction& distance,
                        const Tensor& x0, const Tensor& noise, const HalvedStep& step, const Tensor& weight);

}  // namespace cm
