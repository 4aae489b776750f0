#include "cm/diffusion/weighting.h"

#include <gtest/gtest.h>

#include "support/closeness.h"

namespace cm {
namespace {

TEST(Weighting, HandValues) {
  const Tensor sigma = torch::tensor({0.5, 1.0, 2.0}, torch::kFloat64);
  const auto expect = [&](Weighting kind, const std::vector<double>& expected) {
    const Tensor difference = weight(kind, sigma, 0.5) - torch::tensor(expected, torch::kFloat64);
    EXPECT_LT(test::largest(difference), 1e-14) << to_string(kind);
  };
  expect(Weighting::snr, {4, 1, 0.25});
  expect(Weighting::snr_plus_1, {5, 2, 1.25});
  expect(Weighting::karras, {8, 5, 4.25});
  expect(Weighting::truncated_snr, {4, 1, 1});
  expect(Weighting::uniform, {1, 1, 1});
}

// EDM's choice: λ(σ) c_out(σ)² = 1, so that every noise level asks as much of the network.
TEST(Weighting, KarrasCancelsTheOutputScale) {
  const Tensor sigma = torch::tensor({0.002, 0.7, 80.0}, torch::kFloat64);
  const Tensor c_out2 = sigma.square() * 0.09 / (sigma.square() + 0.09);
  EXPECT_LT(test::largest_difference(weight(Weighting::karras, sigma, 0.3) * c_out2, torch::ones(3)), 1e-12);
}

}  // namespace
}  // namespace cm
