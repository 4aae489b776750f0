#include "squared_distances.h"

#include <limits>
#include <utility>

namespace cm {
namespace {

// A dot product of D terms is off by at most D u |a||b|, u half of epsilon; with the two norms and the sum,
// less than 4 D u (|a|² + |b|²).
double relative_slack(int64_t width) {
  return 2.0 * static_cast<double>(width + 2) * std::numeric_limits<double>::epsilon();
}

Tensor squared_norms(const Tensor& x) {
  return x.square().sum(1);
}

}  // namespace

BoundedDistances bounded_squared_distances(const Tensor& a, const Tensor& b, const Tensor& largest) {
  const Tensor x = a.to(torch::kFloat64);
  const Tensor y = b.to(torch::kFloat64);
  const Tensor norms = squared_norms(x).unsqueeze(1);
  Tensor values = torch::addmm(squared_norms(y).unsqueeze(0), x, y.t(), 1, -2).add_(norms);
  return {.values = std::move(values), .slack = (norms + largest) * relative_slack(a.size(1))};
}

// LibTorch sums a lone long row in pieces, one a thread: a second row keeps it whole.
Tensor squared_distances(const Tensor& a, const Tensor& b) {
  if (a.size(0) == 1) return squared_distances(a.expand({2, -1}), b.expand({2, -1})).slice(0, 0, 1);
  return (a.to(torch::kFloat64) - b.to(torch::kFloat64)).square_().sum(1);
}

}  // namespace cm
