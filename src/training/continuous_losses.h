// The losses of consistency models in continuous time (CM Appendix B), as equations of denoisers. With
//
//   u = ∂f/∂σ + ∂f/∂x · ẋ,   ẋ = (x_σ − D)/σ
//
// the speed at which f changes along the trajectory through (x_σ, σ): 0 for the consistency function of D. D
// is the teacher's denoiser (distillation), or the clean image itself (training), where ẋ is the noise z:
// that has the exact denoiser's ẋ for its mean, and so the same expected gradient of the stop-gradient loss
// (Theorem 6).
#pragma once

#include <functional>

#include "cm/diffusion/denoiser.h"
#include "cm/diffusion/jvp.h"
#include "cm/training/losses.h"

namespace cm {

// A point x [B, …] at noise level sigma [B], and the trajectory's direction there.
struct TrajectoryPoint {
  Tensor x;
  Tensor sigma;
  Tensor x_dot;  // ẋ, of x's shape
};

// The same with ẋ by a denoiser. No gradient reaches it.
TrajectoryPoint on_trajectory_of(const Denoiser& denoiser, const Tensor& x, const Tensor& sigma);

// (f, u) → G(f) u, with a symmetric matrix G a sample.
using TangentMetric = std::function<Tensor(const Tensor& f, const Tensor& u)>;

// G = 1: ℓ2 in the theorems, which sum squares and leave out H's factor 2.
TangentMetric euclidean_metric();

// G = H, the Hessian ∂²d(a, f)/∂a² at a = f, by two backward passes through d, which must be twice
// differentiable where its arguments are equal. Differentiable in f and u where these are.
TangentMetric hessian_metric(DistanceFunction distance);

// A loss, and the u that it is made of, without gradient.
struct StopGradientLoss {
  Tensor loss;  // [B]
  Tensor u;
};

// weight · Σ f_θ(x_σ, σ) sg(G u)    (Theorems 5 and 6). Its gradient is the limit of the discrete losses';
// its value measures nothing and need not fall, while u says how far f is from a consistency function. Both
// come from one pass.
StopGradientLoss stop_gradient_loss(const Denoiser& student, const TrajectoryPoint& point,
                                    const TangentMetric& metric, const Tensor& weight);

// How large u is at f, one number a sample: (f, u) → [B].
using TangentSize = std::function<Tensor(const Tensor& f, const Tensor& u)>;

TangentSize euclidean_size();                      // ‖u‖
TangentSize mean_absolute_size();                  // mean |u|
TangentSize quadratic_size(TangentMetric metric);  // uᵀ G(f) u

// weight · size(f_θ, u), with a gradient through u    (Theorems 3 and 4; distillation only: in training E‖u‖
// holds the variance of ẋ, and so has another minimum). Costs almost twice the stop-gradient form.
Tensor tangent_loss(const Denoiser& student, const TrajectoryPoint& point, const TangentSize& size,
                    const Tensor& weight);

}  // namespace cm
