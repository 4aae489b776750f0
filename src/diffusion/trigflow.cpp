#include "cm/diffusion/trigflow.h"

namespace cm {

Tensor trig_time(const Tensor& sigma, double sigma_data) {
  return (sigma / sigma_data).atan();
}

Tensor trig_velocity(const Denoiser& denoiser, const Tensor& x_t, const Tensor& t, double sigma_data) {
  const Tensor cos = per_sample(t.cos(), x_t);
  const Tensor sin = per_sample(t.sin(), x_t);
  return (cos * x_t - denoiser(x_t / cos, sigma_data * t.tan())) / sin;
}

}  // namespace cm
