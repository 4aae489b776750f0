#include "cm/diffusion/preconditioning.h"

#include "cm/diffusion/ddpm_levels.h"

namespace cm {
namespace {

// Grids computed in fp32 end at 0.0019999996: a sigma this close to σ_min is σ_min.
constexpr double kBoundaryTolerance = 1e-6;

Tensor time_of(Parameterization parameterization, const SigmaOptions& options, double time_scale,
               const Tensor& sigma) {
  if (parameterization == Parameterization::vp_diffusion) return ddpm_time(sigma);
  if (!path_kind(parameterization)) return network_time(sigma, time_scale);
  return path_of(parameterization, options).time(sigma);
}

}  // namespace

bool is_diffusion(Parameterization parameterization) {
  switch (parameterization) {
    case Parameterization::edm:
    case Parameterization::trig_diffusion:
    case Parameterization::vp_diffusion:
    case Parameterization::linear_diffusion:
      return true;
    case Parameterization::skip:
    case Parameterization::piecewise:
    case Parameterization::trig:
    case Parameterization::linear_map:
    case Parameterization::trig_map:
      return false;
  }
  TORCH_INTERNAL_ASSERT(false, "not a parameterization");
}

bool is_flow_map(Parameterization parameterization) {
  return parameterization == Parameterization::linear_map || parameterization == Parameterization::trig_map;
}

std::optional<PathKind> path_kind(Parameterization parameterization) {
  switch (parameterization) {
    case Parameterization::edm:
    case Parameterization::skip:
    case Parameterization::piecewise:
    case Parameterization::vp_diffusion:
      return std::nullopt;
    case Parameterization::trig:
    case Parameterization::trig_diffusion:
    case Parameterization::trig_map:
      return PathKind::trig;
    case Parameterization::linear_diffusion:
    case Parameterization::linear_map:
      return PathKind::linear;
  }
  TORCH_INTERNAL_ASSERT(false, "not a parameterization");
}

bool same_time(Parameterization a, Parameterization b) {
  const auto of_ddpm = [](Parameterization any) { return any == Parameterization::vp_diffusion; };
  return path_kind(a) == path_kind(b) && of_ddpm(a) == of_ddpm(b);
}

Path path_of(Parameterization parameterization, const SigmaOptions& options) {
  const auto kind = path_kind(parameterization);
  TORCH_CHECK(kind, to_string(parameterization), " has no path");
  return {*kind, options.data};
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
    case Parameterization::vp_diffusion:
      return {torch::ones_like(sigma), -sigma, (sigma.square() + 1).rsqrt()};
    case Parameterization::linear_diffusion: {
      const Tensor data_share = 1 / (1 + sigma);
      return {data_share, -sigma * data_share, data_share};
    }
    case Parameterization::linear_map:
    case Parameterization::trig_map:
      TORCH_CHECK(false, "a flow map is no sum of its input and its network");
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

MeanVelocity mean_velocity(const Path& path, RawMap network) {
  if (path.kind == PathKind::linear) return network;
  return [d = path.sigma_data, raw = std::move(network)](const Tensor& z, const Tensor& t, const Tensor& s) {
    return d * raw(z / d, t, s);
  };
}

}  // namespace cm
