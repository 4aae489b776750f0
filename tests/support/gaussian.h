// One Gaussian, whose denoiser and consistency function are closed forms; of mixtures, see
// cm/diffusion/gaussian_mixture.h.
#pragma once

#include "cm/diffusion/flow_map.h"

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

// (x, t, s) → m + (x − m) √((σ_d² + s²)/(σ_d² + t²)), σ_d the data's standard deviation.
inline FlowMap flow_of(const Gaussian& data) {
  return [data](const Tensor& x, const Tensor& t, const Tensor& s) {
    const double variance = data.std * data.std;
    const Tensor ratio = ((variance + s.square()) / (variance + t.square())).sqrt();
    const Tensor mean = data.mean.to(x.dtype());
    return mean + (x - mean) * per_sample(ratio, x);
  };
}

// f(x, σ): the flow's end at ε.
inline Denoiser consistency_of(const Gaussian& data, double epsilon) {
  return ending_at(flow_of(data), epsilon);
}

}  // namespace cm::test
