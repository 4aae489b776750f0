// One Gaussian, whose denoiser and consistency function are closed forms; of mixtures, see
// cm/diffusion/gaussian_mixture.h.
#pragma once

#include "cm/diffusion/denoiser.h"

namespace cm::test {

// N(mean, std² I); mean [D].
struct Gaussian {
  Tensor mean;
  double std;
};

inline const Gaussian kGaussian{torch::tensor({0.3, -0.5, 0.1}, torch::kFloat64), 0.7};

// Where consistency functions are the identity: the ε of multistep sampling.
inline constexpr double kSigmaMin = 0.002;

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

}  // namespace cm::test
