#include "cm/metrics/frechet.h"

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

double frechet_distance(const GaussianMoments& a, const GaussianMoments& b) {
  check_moments(a);
  check_moments(b);
  TORCH_CHECK(a.mean.sizes() == b.mean.sizes(), "Gaussians of different widths: ", a.mean.sizes(), " and ",
              b.mean.sizes());
  const auto device = a.mean.device();
  const Tensor roots = covariance_root(a.covariance).t().matmul(covariance_root(b.covariance.to(device)));
  const double overlap = torch::linalg_svdvals(roots, std::nullopt).sum().item<double>();
  const double means = (a.mean - b.mean.to(device)).square().sum().item<double>();
  const double traces = a.covariance.trace().item<double>() + b.covariance.trace().item<double>();
  return std::max(0.0, means + traces - 2 * overlap);
}

}  // namespace cm
