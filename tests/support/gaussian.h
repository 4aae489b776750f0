// Data whose denoiser and consistency function are known: a Gaussian, where both are closed forms, and a
// Gaussian mixture, whose denoiser is one and whose consistency function is an ODE's solution.
#pragma once

#include <cmath>

#include "cm/base/random.h"
#include "cm/diffusion/denoiser.h"

namespace cm::test {

// N(mean, std² I); mean [D].
struct Gaussian {
  Tensor mean;
  double std;
};

// E[x₀ | x] = (σ² m + s² x)/(s² + σ²)
inline Denoiser denoiser_of(const Gaussian& data) {
  return [data](const Tensor& x, const Tensor& sigma) {
    const Tensor variance = per_sample(sigma, x).square();
    const double s2 = data.std * data.std;
    return (variance * data.mean.to(x.dtype()) + s2 * x) / (s2 + variance);
  };
}

// The point at σ' of the probability-flow trajectory through (x, σ): m + (x − m) √((s² + σ'²)/(s² + σ²)).
inline Tensor flow(const Gaussian& data, const Tensor& x, const Tensor& sigma, const Tensor& sigma_next) {
  const double s2 = data.std * data.std;
  const Tensor ratio = ((s2 + sigma_next.square()) / (s2 + sigma.square())).sqrt();
  const Tensor mean = data.mean.to(x.dtype());
  return mean + (x - mean) * per_sample(ratio, x);
}

// f(x, σ): the flow's end at ε.
inline Denoiser consistency_of(const Gaussian& data, double epsilon) {
  return [data, epsilon](const Tensor& x, const Tensor& sigma) {
    return flow(data, x, sigma, torch::full_like(sigma, epsilon));
  };
}

// Σ_k weights_k N(means_k, std² I); means [K, D], weights [K] with sum 1, both float64.
struct Mixture {
  Tensor means;
  Tensor weights;
  double std;
};

inline Tensor mean_of(const Mixture& data) {
  return torch::mv(data.means.t(), data.weights);
}

// The covariance [D, D] of p_σ.
inline Tensor covariance_of(const Mixture& data, double sigma) {
  const Tensor centred = data.means - mean_of(data);
  const Tensor between = centred.t().mm(data.weights.unsqueeze(1) * centred);
  const Tensor identity = torch::eye(data.means.size(1), torch::kFloat64);
  return between + (data.std * data.std + sigma * sigma) * identity;
}

// `count` float64 samples [count, D] of p_σ.
inline Tensor draw(const Mixture& data, double sigma, uint64_t seed, int64_t count) {
  const auto samples = sample_range(0, count);
  const Tensor u = uniform({.seed = seed, .purpose = Purpose::sigma}, samples);
  const Tensor component =
      (u.unsqueeze(1) >= data.weights.cumsum(0)).sum(1).clamp_max(data.means.size(0) - 1);
  const Tensor z = normal({.seed = seed, .purpose = Purpose::noise}, samples, {data.means.size(1)});
  return data.means.index_select(0, component) +
         std::sqrt(data.std * data.std + sigma * sigma) * z.to(torch::kFloat64);
}

// Σ_k p(k | x) E[x₀ | x, k] with p(k | x) ∝ weights_k exp(−‖x − m_k‖²/(2(s² + σ²))); x [B, D].
inline Denoiser denoiser_of(const Mixture& data) {
  return [data](const Tensor& x, const Tensor& sigma) {
    const double s2 = data.std * data.std;
    const Tensor means = data.means.to(x.dtype());
    const Tensor variance = sigma.square().unsqueeze(1);
    const Tensor distance2 = (x.unsqueeze(1) - means).square().sum(2);
    const Tensor logits = data.weights.to(x.dtype()).log() - distance2 / (2 * (s2 + variance));
    return (variance * logits.softmax(1).mm(means) + s2 * x) / (s2 + variance);
  };
}

// f(x, σ) by `steps` Runge–Kutta steps of dx/d ln σ = x − D(x, σ), in float64; 2000 give about 1e-10.
inline Denoiser consistency_of(const Mixture& data, double epsilon, int64_t steps = 2000) {
  return [denoiser = denoiser_of(data), epsilon, steps](const Tensor& start, const Tensor& sigma) {
    const torch::NoGradGuard guard;
    Tensor x = start.to(torch::kFloat64);
    const Tensor log_start = sigma.to(torch::kFloat64).log();
    const Tensor h = (std::log(epsilon) - log_start) / static_cast<double>(steps);
    const Tensor column = h.unsqueeze(1);
    const auto slope = [&](const Tensor& at, double step) {
      return at - denoiser(at, (log_start + step * h).exp());
    };
    for (int64_t i = 0; i < steps; ++i) {
      const auto step = static_cast<double>(i);
      const Tensor k1 = slope(x, step);
      const Tensor k2 = slope(x + column / 2 * k1, step + 0.5);
      const Tensor k3 = slope(x + column / 2 * k2, step + 0.5);
      const Tensor k4 = slope(x + column * k3, step + 1);
      x = x + column / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
    }
    return x.to(start.dtype());
  };
}

}  // namespace cm::test
