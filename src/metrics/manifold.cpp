#include "manifold.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "squared_distances.h"

namespace cm {
namespace {

// Tiles of 32 MiB of distances, whatever the number of points.
constexpr int64_t kTileRows = 512;
constexpr int64_t kTileColumns = 8192;
constexpr int64_t kSpareCandidates = 8;

void check_points(const Tensor& features, int64_t k) {
  TORCH_CHECK(features.dim() == 2 && k >= 1, "features must be [N, D] and k at least 1, got ",
              features.sizes());
  if (features.size(0) <= k) {
    throw InputError(concat("a manifold of k = ", k, " neighbours needs at least ", k + 1,
                            " images in each set, got ", features.size(0)));
  }
  if (!torch::isfinite(features).all().item<bool>()) {
    throw InputError("a manifold needs finite features, got NaN or infinite values");
  }
}

Tensor largest_squared_norm(const Tensor& points) {
  Tensor largest = torch::zeros({}, points.options().dtype(torch::kFloat64));
  for (const Tensor& tile : points.split(kTileColumns)) {
    largest = torch::maximum(largest, tile.to(torch::kFloat64).square().sum(1).max());
  }
  return largest;
}

// For every row the `count` points that are nearest within rounding, in ascending order, and what is known of
// all others: their squared distance is at least `others`.
struct Candidates {
  Tensor indices;  // int64 [M, count]
  Tensor others;   // float64 [M]
};

Candidates nearest_candidates(const Tensor& rows, const Tensor& points, const Tensor& largest,
                              int64_t count) {
  Tensor nearest;
  Tensor indices;
  Tensor slack;
  int64_t first = 0;
  for (const Tensor& tile : points.split(kTileColumns)) {
    const auto distances = bounded_squared_distances(rows, tile, largest);
    slack = distances.slack;
    auto [values, order] = distances.values.topk(std::min(count, tile.size(0)), 1, false);
    order += first;
    first += tile.size(0);
    if (nearest.defined()) {
      values = torch::cat({nearest, values}, 1);
      order = torch::cat({indices, order}, 1);
      const auto best = values.topk(std::min(count, values.size(1)), 1, false);
      values = std::get<0>(best);
      order = order.gather(1, std::get<1>(best));
    }
    nearest = values;
    indices = order;
  }
  return {.indices = indices, .others = nearest.select(1, nearest.size(1) - 1) - slack.squeeze(1)};
}

// The smallest-but-`rank` of the exact squared distances of one row to all points.
Tensor exact_rank(const Tensor& row, const Tensor& points, int64_t rank) {
  std::vector<Tensor> distances;
  for (const Tensor& tile : points.split(kTileColumns)) {
    distances.push_back(squared_distances(row.expand({tile.size(0), -1}), tile));
  }
  return std::get<0>(torch::cat(distances).kthvalue(rank + 1));
}

// The squared distance to the k-th nearest other point: a point's distance to itself, 0, is always among the
// k + 1 smallest. Where rounding leaves it open which points these are, all are looked at.
Tensor squared_radii_of(const Tensor& rows, const Tensor& points, const Tensor& largest, int64_t k) {
  const int64_t count = std::min(points.size(0), k + 1 + kSpareCandidates);
  const Candidates near = nearest_candidates(rows, points, largest, count);
  const Tensor repeated = rows.repeat_interleave(count, 0);
  const Tensor candidates = points.index_select(0, near.indices.flatten());
  const Tensor exact = squared_distances(repeated, candidates).reshape({rows.size(0), count});
  Tensor radii = std::get<0>(exact.kthvalue(k + 1, 1));
  if (count == points.size(0)) return radii;
  const Tensor open = ((radii > near.others) & (radii > 0)).nonzero().squeeze(1).cpu();
  for (int64_t i = 0; i < open.size(0); ++i) {
    const auto row = open[i].item<int64_t>();
    radii[row] = exact_rank(rows[row], points, k);
  }
  return radii;
}

// Some of a manifold's balls, and the largest squared norm of all its points, which bounds rounding.
struct Balls {
  Tensor points;
  Tensor squared_radii;
  Tensor largest;
};

// The balls of a manifold beside which `features` may stand.
std::vector<Balls> tiles_of(const Manifold& manifold, const Tensor& features) {
  TORCH_CHECK(features.dim() == 2 && features.size(1) == manifold.points.size(1), "features ",
              features.sizes(), " beside a manifold of width ", manifold.points.size(1));
  const Tensor largest = largest_squared_norm(manifold.points);
  const auto points = manifold.points.split(kTileColumns);
  const auto radii = manifold.squared_radii.split(kTileColumns);
  std::vector<Balls> tiles;
  for (size_t i = 0; i < points.size(); ++i) tiles.push_back({points[i], radii[i], largest});
  return tiles;
}

// Whether each row lies in one of the balls.
Tensor inside_any(const Tensor& rows, const Balls& balls) {
  const auto distances = bounded_squared_distances(rows, balls.points, balls.largest);
  const Tensor excess = distances.values - balls.squared_radii;
  Tensor inside = (excess <= -distances.slack).any(1);
  Tensor open = (excess <= distances.slack) & ~inside.unsqueeze(1);
  while (true) {  // one open pair a row at a time: rarely is there any
    const Tensor asked = open.any(1).nonzero().squeeze(1);
    if (asked.size(0) == 0) return inside;
    const Tensor ball = open.index_select(0, asked).to(torch::kUInt8).argmax(1);
    const Tensor exact = squared_distances(rows.index_select(0, asked), balls.points.index_select(0, ball));
    const Tensor found = exact <= balls.squared_radii.index_select(0, ball);
    inside.index_put_({asked}, found);
    open.index_put_({asked, ball}, torch::zeros_like(found));
    open &= ~inside.unsqueeze(1);
  }
}

// Whether row i lies within ball j: bool [rows, balls].
Tensor within_each(const Tensor& rows, const Balls& balls) {
  constexpr int64_t kPairs = 4096;
  const auto distances = bounded_squared_distances(rows, balls.points, balls.largest);
  const Tensor excess = distances.values - balls.squared_radii;
  Tensor within = excess < -distances.slack;
  const Tensor open = ((excess <= distances.slack) & ~within).nonzero();
  for (const Tensor& pairs : open.split(kPairs)) {
    const Tensor row = pairs.select(1, 0);
    const Tensor ball = pairs.select(1, 1);
    const Tensor exact = squared_distances(rows.index_select(0, row), balls.points.index_select(0, ball));
    within.index_put_({row, ball}, exact < balls.squared_radii.index_select(0, ball));
  }
  return within;
}

}  // namespace

Manifold manifold_of(const Tensor& features, int64_t k) {
  check_points(features, k);
  const Tensor points = features.detach();
  const Tensor largest = largest_squared_norm(points);
  std::vector<Tensor> radii;
  for (const Tensor& rows : points.split(kTileRows)) {
    radii.push_back(squared_radii_of(rows, points, largest, k));
  }
  return {.points = points, .squared_radii = torch::cat(radii), .k = k};
}

double share_inside(const Tensor& features, const Manifold& manifold) {
  const std::vector<Balls> tiles = tiles_of(manifold, features);
  int64_t count = 0;
  for (const Tensor& rows : features.detach().split(kTileRows)) {
    Tensor inside = torch::zeros({rows.size(0)}, rows.options().dtype(torch::kBool));
    for (const Balls& balls : tiles) inside |= inside_any(rows, balls);
    count += inside.sum().item<int64_t>();
  }
  return static_cast<double>(count) / static_cast<double>(features.size(0));
}

DensityCoverage density_coverage(const Tensor& features, const Manifold& manifold) {
  const std::vector<Balls> tiles = tiles_of(manifold, features);
  int64_t pairs = 0;
  int64_t covered = 0;
  for (const Balls& balls : tiles) {
    Tensor reached = torch::zeros_like(balls.squared_radii, torch::kBool);
    for (const Tensor& rows : features.detach().split(kTileRows)) {
      const Tensor within = within_each(rows, balls);
      pairs += within.sum().item<int64_t>();
      reached |= within.any(0);
    }
    covered += reached.sum().item<int64_t>();
  }
  return {.density = static_cast<double>(pairs) / static_cast<double>(manifold.k * features.size(0)),
          .coverage = static_cast<double>(covered) / static_cast<double>(manifold.points.size(0))};
}

}  // namespace cm
