#include "frechet.h"

#include <algorithm>

#include "cm/base/error.h"

namespace cm {
namespace {

void check_moments(const GaussianMoments& moments) {
  const int64_t width = moments.mean.size(0);
  TORCH_CHECK(moments.mean.dim() == 1 && moments.covariance.sizes() == torch::IntArrayRef({width, width}),
              "moments must be [D] and [D, D], got ", moments.mean.sizes(), " and ",
              moments.covariance.sizes());
  if (!torch::isfinite(moments.mean).all().item<bool>() ||
      !torch::isfinite(moments.covariance).all().item<bool>()) {
    throw InputError(
        "a mean or covariance holds NaN or infinite values; the Fréchet distance needs finite ones");
  }
}

}  // namespace

RootedMoments rooted(const GaussianMoments& moments) {
  check_moments(moments);
  return {.moments = moments, .root = covariance_root(moments.covariance)};
}

double frechet_distance(const GaussianMoments& a, const RootedMoments& b) {
  check_moments(a);
  TORCH_CHECK(a.mean.sizes() == b.moments.mean.sizes(), "Gaussians of different widths: ", a.mean.sizes(),
              " and ", b.moments.mean.sizes());
  const auto device = a.mean.device();
  const Tensor roots = covariance_root(a.covariance).t().matmul(b.root.to(device));
  const double overlap = torch::linalg_svdvals(roots, std::nullopt).sum().item<double>();
  const double means = (a.mean - b.moments.mean.to(device)).square().sum().item<double>();
  const double traces = a.covariance.trace().item<double>() + b.moments.covariance.trace().item<double>();
  return std::max(0.0, means + traces - 2 * overlap);
}

double frechet_distance(const GaussianMoments& a, const GaussianMoments& b) {
  return frechet_distance(a, rooted(b));
}

}  // namespace cm
