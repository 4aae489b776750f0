#include "cm/diffusion/weighting.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "cm/diffusion/preconditioning.h"
#include "support/closeness.h"

namespace cm {
namespace {

// At σ = 0.5, 1 and 2, of data with σ_d = 0.5.
std::vector<double> weights_by_hand(Weighting kind) {
  switch (kind) {
    case Weighting::snr:
      return {4, 1, 0.25};
    case Weighting::snr_plus_1:
      return {5, 2, 1.25};
    case Weighting::karras:
      return {8, 5, 4.25};
    case Weighting::truncated_snr:
      return {4, 1, 1};
    case Weighting::uniform:
      return {1, 1, 1};
    case Weighting::flow:
      return {9, 4, 2.25};
  }
  throw std::logic_error("not a weighting");
}

TEST(Weighting, HandValues) {
  const Tensor sigma = torch::tensor({0.5, 1.0, 2.0}, torch::kFloat64);
  for (const auto& [kind, name] : EnumNames<Weighting>::names) {
    const Tensor expected = torch::tensor(weights_by_hand(kind), torch::kFloat64);
    EXPECT_LT(test::largest_difference(weight(kind, sigma, 0.5), expected), 1e-14) << name;
  }
}

// EDM's choice: λ(σ) c_out(σ)² = 1, so that every noise level asks as much of the network.
TEST(Weighting, KarrasCancelsTheOutputScale) {
  const Tensor sigma = torch::tensor({0.002, 0.7, 80.0}, torch::kFloat64);
  const Tensor c_out2 = sigma.square() * 0.09 / (sigma.square() + 0.09);
  EXPECT_LT(test::largest_difference(weight(Weighting::karras, sigma, 0.3) * c_out2, torch::ones(3)), 1e-12);
}

// The same on the linear path, whose c_out is −σ/(1 + σ).
TEST(Weighting, FlowIsThatOfTheVelocity) {
  const Tensor sigma = torch::tensor({0.002, 0.7, 80.0}, torch::kFloat64);
  const Tensor c_out = scalings(Parameterization::linear_diffusion, {}, sigma).c_out;
  EXPECT_LT(test::largest_difference(weight(Weighting::flow, sigma, 0.3) * c_out.square(), torch::ones(3)),
            1e-12);
}

}  // namespace
}  // namespace cm
