#include "cm/metrics/statistics.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {
namespace {

constexpr int64_t kBlockRows = 4096;

void check_features(const Tensor& features) {
  TORCH_CHECK(features.dim() == 2 && features.is_floating_point(),
              "features must be floating point [N, D], got ", features.sizes());
  const int64_t broken = features.numel() - torch::isfinite(features).sum().item<int64_t>();
  if (broken > 0) {
    throw InputError(concat(broken, " of ", features.numel(),
                            " feature values are NaN or infinite; finite values are needed: check the images "
                            "and the network that computes the features"));
  }
}

}  // namespace

void RunningMoments::add(const Tensor& features) {
  check_features(features);
  if (features.size(0) == 0) return;
  const Tensor x = features.detach().to(torch::kFloat64);
  RunningMoments batch;
  batch.count_ = x.size(0);
  batch.mean_ = x.mean(0);
  const Tensor centred = x - batch.mean_;
  batch.scatter_ = centred.t().matmul(centred);
  merge(batch);
}

void RunningMoments::merge(const RunningMoments& other) {
  if (other.count_ == 0) return;
  if (count_ == 0) {
    *this = other;
    return;
  }
  TORCH_CHECK(mean_.sizes() == other.mean_.sizes(), "features of width ", other.mean_.size(0),
              " can't join features of width ", mean_.size(0));
  const auto ours = static_cast<double>(count_);
  const auto theirs = static_cast<double>(other.count_);
  const Tensor shift = other.mean_ - mean_;
  mean_ = mean_ + shift * (theirs / (ours + theirs));
  scatter_ = scatter_ + other.scatter_ + torch::outer(shift, shift) * (ours * theirs / (ours + theirs));
  count_ += other.count_;
}

GaussianMoments RunningMoments::moments() const {
  if (count_ < 2) throw InputError(concat("a covariance needs at least 2 samples, got ", count_));
  return {.mean = mean_, .covariance = scatter_ / static_cast<double>(count_ - 1)};
}

GaussianMoments moments_of(const Tensor& features) {
  RunningMoments running;
  for (int64_t row = 0; row < features.size(0); row += kBlockRows) {
    running.add(features.slice(0, row, std::min(row + kBlockRows, features.size(0))));
  }
  return running.moments();
}

// C = V diag(λ) Vᵀ. An eigenvalue below rounding, kept, would enter with the square root of its rounding
// error.
Tensor covariance_root(const Tensor& covariance) {
  const auto [values, vectors] = torch::linalg_eigh(covariance, "L");
  const double rounding = std::max(values.max().item<double>(), 0.0) * static_cast<double>(values.size(0)) *
                          std::numeric_limits<double>::epsilon();
  return vectors * torch::where(values > rounding, values, torch::zeros_like(values)).sqrt();
}

}  // namespace cm
