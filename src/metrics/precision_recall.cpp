#include "cm/metrics/precision_recall.h"

#include <algorithm>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {
namespace {

constexpr int64_t kPairsPerBlock = int64_t{1} << 23;  // 64 MiB of distances at a time
constexpr int64_t kWithoutGramMatrix = 2;             // torch::cdist's code for plain differences

Tensor checked_points(const Tensor& features, int64_t k) {
  TORCH_CHECK(features.dim() == 2 && k >= 1, "features must be [N, D] and k at least 1, got ",
              features.sizes());
  if (features.size(0) <= k) {
    throw InputError(concat("precision and recall with k = ", k, " need at least ", k + 1,
                            " images in each set, got ", features.size(0)));
  }
  if (!torch::isfinite(features).all().item<bool>()) {
    throw InputError("precision and recall need finite features, got NaN or infinite values");
  }
  return features.detach().to(torch::kFloat64);
}

// visit(distances [rows, points.size(0)]) for `queries` in blocks of rows; the results in one tensor.
template <class Visit>
Tensor map_distances(const Tensor& queries, const Tensor& points, const Visit& visit) {
  const int64_t rows = std::max<int64_t>(1, kPairsPerBlock / points.size(0));
  std::vector<Tensor> results;
  for (const Tensor& block : queries.split(rows)) {
    results.push_back(visit(torch::cdist(block, points, 2.0, kWithoutGramMatrix)));
  }
  return torch::cat(results);
}

// The distance to the k-th nearest other point; a point's distance to itself, 0, is always among the k + 1
// smallest.
Tensor radii(const Tensor& points, int64_t k) {
  return map_distances(points, points, [k](const Tensor& distances) {
    return std::get<0>(torch::kthvalue(distances, k + 1, 1));
  });
}

double share_inside(const Tensor& queries, const Tensor& points, const Tensor& point_radii) {
  const Tensor inside = map_distances(
      queries, points, [&](const Tensor& distances) { return (distances <= point_radii).any(1); });
  return inside.to(torch::kFloat64).mean().item<double>();
}

}  // namespace

Tensor squared_radii(const Tensor& features, int64_t k) {
  return radii(checked_points(features, k), k).square();
}

PrecisionRecall precision_recall(const Tensor& samples, const Tensor& reference, int64_t k) {
  const Tensor a = checked_points(samples, k);
  const Tensor b = checked_points(reference, k);
  TORCH_CHECK(a.size(1) == b.size(1), "features of widths ", a.size(1), " and ", b.size(1));
  return {.precision = share_inside(a, b, radii(b, k)), .recall = share_inside(b, a, radii(a, k))};
}

}  // namespace cm
