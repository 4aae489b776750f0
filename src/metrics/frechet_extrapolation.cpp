#include "frechet_extrapolation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "random_rows.h"

namespace cm {
namespace {

constexpr double kSmallest = 0.1;  // of N

std::vector<int64_t> sizes_up_to(int64_t n) {
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i < kExtrapolationSizes; ++i) {
    const double share = kSmallest + (1 - kSmallest) * static_cast<double>(i) / (kExtrapolationSizes - 1);
    sizes.push_back(std::max<int64_t>(2, std::llround(share * static_cast<double>(n))));
  }
  return sizes;
}

}  // namespace

double intercept_of_line(const std::vector<double>& x, const std::vector<double>& y) {
  TORCH_CHECK(x.size() == y.size() && x.size() >= 2, "expected at least two points, got ", x.size(), " and ",
              y.size());
  const auto n = static_cast<double>(x.size());
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / n;
  const double mean_y = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double products = 0;
  double squares = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    products += (x[i] - mean_x) * (y[i] - mean_y);
    squares += (x[i] - mean_x) * (x[i] - mean_x);
  }
  TORCH_CHECK(squares > 0, "a line needs two different x");
  return mean_y - products / squares * mean_x;
}

double extrapolated_frechet(const Tensor& features, const RootedMoments& reference, uint64_t seed) {
  const int64_t n = features.size(0);
  if (n < kExtrapolationMinimum) {
    throw InputError(concat("the extrapolated Fréchet distance needs at least ", kExtrapolationMinimum,
                            " images, got ", n));
  }
  std::vector<double> inverse_counts;
  std::vector<double> distances;
  for (const int64_t size : sizes_up_to(n)) {
    const auto step = kExtrapolationDraws + static_cast<uint32_t>(distances.size());
    const Tensor subset = random_rows(features, size, seed, step);
    inverse_counts.push_back(1 / static_cast<double>(size));
    distances.push_back(frechet_distance(moments_of(subset), reference));
  }
  return intercept_of_line(inverse_counts, distances);
}

}  // namespace cm
