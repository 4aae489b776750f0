#include "cm/diffusion/preconditioning.h"

#include "cm/diffusion/trigflow.h"

namespace cm {
namespace {

// Grids computed in fp32 end at 0.0019999996: a sigma this close to σ_min is σ_min.
constexpr double kBoundaryTolerance = 1e-6;

Tensor time_of(Parameterization parameterization, const SigmaOptions& options, double time_scale,
               const Tensor& sigma) {
  return has_trig_time(parameterization) ? trig_time(sigma, options.data) : network_time(sigma, time_scale);
}

}  // namespace

bool is_diffusion(Parameterization parameterization) {
  switch (parameterization) {
    case Parameterization::edm:
    case Parameterization::trig_diffusion:
      return true;
    case Parameterization::skip:
    case Parameterization::piecewise:
    case Parameterization::trig:
      return false;
  }
  TORCH_INTERNAL_ASSERT(false, "not a parameterization");
}

bool has_trig_time(Parameterization parameterization) {
  switch (parameterization) {
    case Parameterization::trig:
    case Parameterization::trig_diffusion:
      return true;
    case Parameterization::edm:
    case Parameterization::skip:
    case Parameterization::piecewise:
      return false;
  }
  TORCH_INTERNAL_ASSERT(false, "not a parameterization");
}

Scalings scalings(Parameterization parameterization, const SigmaOptions& options, const Tensor& sigma) {
  const double sigma_data = options.data;
  const double sigma_min = options.min;
  const Tensor c_in = (sigma.square() + sigma_data * sigma_data).rsqrt();
  switch (parameterization) {
    case Parameterization::edm:
      return {sigma_data * sigma_data * c_in.square(), sigma * sigma_data * c_in, c_in};
    case Parameterization::skip: {
      const Tensor above_min = sigma - sigma_min;
      return {sigma_data * sigma_data / (above_min.square() + sigma_data * sigma_data),
              sigma_data * above_min * c_in, c_in};
    }
    case Parameterization::piecewise: {
      const Tensor at_boundary = (sigma <= sigma_min * (1 + kBoundaryTolerance)).to(sigma.scalar_type());
      return {at_boundary, 1 - at_boundary, c_in};
    }
    case Parameterization::trig:
    case Parameterization::trig_diffusion:
      return {sigma_data * sigma_data * c_in.square(), -sigma * sigma_data * c_in, c_in};
  }
  TORCH_INTERNAL_ASSERT(false, "not a parameterization");
}

Tensor network_time(const Tensor& sigma, double scale) {
  return scale * 0.25 * (sigma + 1e-44).log();
}

Denoiser precondition(Parameterization parameterization, const SigmaOptions& options, double time_scale,
                      RawNetwork network) {
  return [parameterization, options, time_scale, raw = std::move(network)](const Tensor& x,
                                                                           const Tensor& sigma) {
    const auto [c_skip, c_out, c_in] = scalings(parameterization, options, sigma);
    const Tensor output = raw(per_sample(c_in, x) * x, time_of(parameterization, options, time_scale, sigma));
    return per_sample(c_skip, x) * x + per_sample(c_out, x) * output;
  };
}

}  // namespace cm
