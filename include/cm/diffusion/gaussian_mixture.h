// Data whose denoiser and consistency function are known: a mixture of isotropic Gaussians,
//
//   p_data = Σ_k w_k N(m_k, s_k² I),   p_σ = Σ_k w_k N(m_k, (s_k² + σ²) I),
//
// what samplers, solvers and training are measured against. All is computed in float64 on the CPU and
// returned in x's dtype. Points x are [B, D], or images [B, C, H, W] with C·H·W = D.
#pragma once

#include <cstdint>
#include <vector>

#include "cm/base/random.h"
#include "cm/diffusion/flow_map.h"

namespace cm {

struct GaussianMixture {
  Tensor means;    // float64 [K, D]
  Tensor weights;  // float64 [K], sum 1
  Tensor stds;     // float64 [K], > 0
};

// c10::Error when shapes, dtypes, weights or standard deviations are not as above.
void check_mixture(const GaussianMixture& data);

// float64 [D].
Tensor mean_of(const GaussianMixture& data);

// The covariance of p_σ, float64 [D, D].
Tensor covariance_of(const GaussianMixture& data, double sigma);

// p(k | x) ∝ w_k (s_k² + σ²)^{−D/2} exp(−‖x − m_k‖²/(2 (s_k² + σ²))), float64 [B, K]; sigma [B].
Tensor responsibilities(const GaussianMixture& data, const Tensor& x, const Tensor& sigma);

// E[x₀ | x] = Σ_k p(k | x) (σ² m_k + s_k² x)/(s_k² + σ²).
Denoiser denoiser_of(const GaussianMixture& data);

// Its flow map between levels > 0: dx/d ln σ = x − D(x, σ), integrated by Dormand & Prince's pair of orders 5
// and 4 with steps that keep the error at the end near 1e-10.
FlowMap flow_of(const GaussianMixture& data);

// f(x, σ): the flow's end at ε > 0.
Denoiser consistency_of(const GaussianMixture& data, double epsilon);

// Samples of p_σ, float64 [samples.size(), D]; row i depends on (seed, step, samples[i]) alone.
Tensor draw(const GaussianMixture& data, double sigma, uint64_t seed, uint32_t step,
            const std::vector<int64_t>& samples);

}  // namespace cm
