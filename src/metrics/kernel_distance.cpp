#include "kernel_distance.h"

#include <algorithm>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "random_rows.h"

namespace cm {
namespace {

Tensor kernel(const Tensor& a, const Tensor& b) {
  return (a.matmul(b.t()) / static_cast<double>(a.size(1)) + 1).pow(3);
}

// The mean of k(xᵢ, xⱼ) over i ≠ j.
Tensor mean_of_pairs(const Tensor& x) {
  const auto n = static_cast<double>(x.size(0));
  const Tensor k = kernel(x, x);
  return (k.sum() - k.diagonal().sum()) / (n * (n - 1));
}

void check_rows(const Tensor& features) {
  TORCH_CHECK(features.dim() == 2, "features must be [N, D], got ", features.sizes());
  if (features.size(0) < 2) {
    throw InputError(
        concat("the kernel distance needs at least 2 images in each set, got ", features.size(0)));
  }
  if (!torch::isfinite(features).all().item<bool>()) {
    throw InputError("the kernel distance needs finite features, got NaN or infinite values");
  }
}

}  // namespace

double squared_mmd(const Tensor& a, const Tensor& b) {
  TORCH_CHECK(a.dim() == 2 && b.dim() == 2 && a.size(1) == b.size(1) && a.size(0) > 1 && b.size(0) > 1,
              "expected [M, D] and [N, D] with at least 2 rows, got ", a.sizes(), " and ", b.sizes());
  const Tensor x = a.to(torch::kFloat64);
  const Tensor y = b.to(torch::kFloat64);
  return (mean_of_pairs(x) + mean_of_pairs(y) - 2 * kernel(x, y).mean()).item<double>();
}

KernelDistance kernel_distance(const Tensor& features, const Tensor& reference,
                               const KernelDistanceOptions& options) {
  TORCH_CHECK(options.subsets >= 1 && options.subset_size >= 2,
              "expected at least 1 subset of at least 2 rows");
  check_rows(features);
  check_rows(reference);
  const int64_t size = std::min({options.subset_size, features.size(0), reference.size(0)});
  std::vector<double> distances;
  for (int64_t i = 0; i < options.subsets; ++i) {
    const auto step = kKernelDistanceDraws + static_cast<uint32_t>(2 * i);
    distances.push_back(squared_mmd(random_rows(features, size, options.seed, step),
                                    random_rows(reference, size, options.seed, step + 1)));
  }
  const Tensor all = torch::tensor(distances, torch::kFloat64);
  return {.mean = all.mean().item<double>(), .deviation = all.std(false).item<double>()};
}

}  // namespace cm
