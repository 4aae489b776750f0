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

}  // namespace

Manifold manifold_of(const Tensor& features, int64_t k) {
  const Tensor points = checked_points(features, k);
  return {.points = points, .radii = radii(points, k)};
}

double share_inside(const Tensor& features, const Manifold& manifold) {
  TORCH_CHECK(features.dim() == 2 && features.size(1) == manifold.points.size(1), "features ",
              features.sizes(), " beside a manifold of width ", manifold.points.size(1));
  const Tensor queries = features.detach().to(torch::kFloat64);
  const Tensor inside = map_distances(queries, manifold.points, [&](const Tensor& distances) {
    return (distances <= manifold.radii).any(1);
  });
  return inside.to(torch::kFloat64).mean().item<double>();
}

Tensor squared_radii(const Tensor& features, int64_t k) {
  return manifold_of(features, k).radii.square();
}

PrecisionRecall precision_recall(const Tensor& samples, const Tensor& reference, int64_t k) {
  return {.precision = share_inside(samples, manifold_of(reference, k)),
          .recall = share_inside(reference, manifold_of(samples, k))};
}

}  // namespace cm
