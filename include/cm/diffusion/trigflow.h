// TrigFlow (sCM; Lu & Song, arXiv 2410.11081, §3.1): x_t = cos(t) x₀ + sin(t) z with z ~ N(0, σ_d² I) and t
// in [0, π/2]. It is EDM's process at σ = σ_d tan t, scaled: x_t = cos(t) x_σ.
#pragma once

#include "cm/diffusion/denoiser.h"

namespace cm {

// t = arctan(σ/σ_d), of sigma's shape.
Tensor trig_time(const Tensor& sigma, double sigma_data);

// dx_t/dt of the probability-flow ODE that a denoiser D(x, σ) implies: (cos t · x_t − D(x_t/cos t, σ_d tan
// t))/sin t. For TrigFlow's own model this is σ_d F(x_t/σ_d, t). x_t [B, …], t [B] in (0, π/2).
Tensor trig_velocity(const Denoiser& denoiser, const Tensor& x_t, const Tensor& t, double sigma_data);

}  // namespace cm
