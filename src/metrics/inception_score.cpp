#include "inception_score.h"

#include <cmath>

#include "cm/base/error.h"

namespace cm {
namespace {

constexpr double kSumTolerance = 1e-3;  // fp16 softmax outputs still pass

void check_distributions(const Tensor& p) {
  TORCH_CHECK(p.dim() == 2, "probabilities must be [N, classes], got ", p.sizes());
  if (p.size(0) == 0) throw InputError("the Inception Score needs at least 1 image, got 0");
  const Tensor valid = (p >= 0).all(1) & ((p.sum(1) - 1).abs() < kSumTolerance);
  if (!valid.all().item<bool>()) {
    throw InputError(
        "the Inception Score needs class probabilities that sum to 1, got negative, NaN or other values");
  }
}

double score_of_chunk(const Tensor& p) {
  // xlogy: 0 · log 0 = 0.
  const Tensor marginal = p.mean(0, true);
  const Tensor divergence = (torch::xlogy(p, p) - torch::xlogy(p, marginal)).sum(1);
  return std::exp(divergence.mean().item<double>());
}

}  // namespace

double inception_score(const Tensor& probabilities, int64_t split) {
  TORCH_CHECK(split >= 1, "a split needs at least 1 row, got ", split);
  const Tensor p = probabilities.detach().to(torch::kFloat64);
  check_distributions(p);
  double sum = 0;
  const auto chunks = p.split(split);
  for (const Tensor& chunk : chunks) sum += score_of_chunk(chunk);
  return sum / static_cast<double>(chunks.size());
}

}  // namespace cm
