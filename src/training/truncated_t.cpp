#include "truncated_t.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace cm {
namespace {

constexpr int64_t kCells = 1024;
constexpr int kNewtonSteps = 4;

struct GaussPoint {
  double place;   // in [−1, 1]
  double weight;  // of all five the sum is 2
};

// Gauss's rule of five points.
constexpr std::array<GaussPoint, 5> kGauss = {{{0, 128.0 / 225},
                                               {0.5384693101056830910, 0.4786286704993664680},
                                               {-0.5384693101056830910, 0.4786286704993664680},
                                               {0.9061798459386639928, 0.2369268850561890875},
                                               {-0.9061798459386639928, 0.2369268850561890875}}};

Tensor log_cosh(const Tensor& s) {
  const Tensor length = s.abs();
  return length + (-2 * length).exp().log1p() - std::numbers::ln2;
}

}  // namespace

TruncatedT::TruncatedT(const StudentT& whole, double lower, double upper) : whole_(whole) {
  const double unit = whole.scale * std::sqrt(whole.degrees);
  const double first = std::asinh((lower - whole.mean) / unit);
  const double last = std::asinh((upper - whole.mean) / unit);
  const Tensor nearest = torch::full({}, std::clamp(0.0, first, last), torch::kFloat64);
  highest_ = -log_cosh(nearest).item<double>();
  knots_ = torch::linspace(first, last, kCells + 1, torch::kFloat64);
  const Tensor of_cells = integral(knots_.narrow(0, 0, kCells), knots_.narrow(0, 1, kCells));
  cumulated_ = torch::cat({torch::zeros({1}, torch::kFloat64), of_cells.cumsum(0)});
}

Tensor TruncatedT::density(const Tensor& s) const {
  return (whole_.degrees * (-log_cosh(s) - highest_)).exp();
}

Tensor TruncatedT::integral(const Tensor& from, const Tensor& to) const {
  const Tensor middle = (from + to) / 2;
  const Tensor half = (to - from) / 2;
  Tensor sum = torch::zeros_like(middle);
  for (const auto& [place, weight] : kGauss) sum = sum + weight * density(middle + place * half);
  return sum * half;
}

Tensor TruncatedT::quantile(const Tensor& u) const {
  const Tensor wanted = u * cumulated_[kCells];
  const Tensor cell =
      (torch::searchsorted(cumulated_, wanted, /*out_int32=*/false, /*right=*/true) - 1).clamp(0, kCells - 1);
  const Tensor left = knots_.index_select(0, cell);
  const Tensor right = knots_.index_select(0, cell + 1);
  const Tensor beyond = wanted - cumulated_.index_select(0, cell);
  Tensor s = left;
  for (int i = 0; i < kNewtonSteps; ++i) {
    s = torch::minimum(torch::maximum(s + (beyond - integral(left, s)) / density(s), left), right);
  }
  return whole_.mean + whole_.scale * std::sqrt(whole_.degrees) * s.sinh();
}

}  // namespace cm
