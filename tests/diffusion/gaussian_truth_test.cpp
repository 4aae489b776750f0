// The closed forms that other tests lean on, against one another.
#include <gtest/gtest.h>

#include <cmath>

#include "support/closeness.h"
#include "support/gaussian.h"

namespace cm {
namespace {

using test::largest_difference;

constexpr double kEpsilon = 0.002;

// F_σ(x) = Σ_k weights_k Φ((x − m_k)/√(s² + σ²)) of a 1-D mixture.
Tensor distribution_function(const test::Mixture& data, const Tensor& x, const Tensor& sigma) {
  const Tensor scale = (data.std * data.std + sigma.square()).sqrt().unsqueeze(1);
  const Tensor standard = (x - data.means.t()) / scale;
  return torch::mv(0.5 * (1 + torch::erf(standard / std::sqrt(2.0))), data.weights);
}

TEST(GaussianTruths, TheIntegratedMixtureEqualsTheClosedFormOfOneGaussian) {
  const Tensor mean = torch::tensor({0.3, -0.8}, torch::kFloat64);
  const test::Gaussian gaussian{mean, 0.5};
  const test::Mixture mixture{mean.unsqueeze(0), torch::ones({1}, torch::kFloat64), 0.5};
  const Tensor sigma = torch::tensor({80.0, 2.0, 0.1, kEpsilon}, torch::kFloat64);
  const Tensor x = mean + per_sample(sigma, torch::ones({4, 2})) * 1.3;
  EXPECT_LT(largest_difference(test::denoiser_of(mixture)(x, sigma), test::denoiser_of(gaussian)(x, sigma)),
            1e-14);
  EXPECT_LT(largest_difference(test::consistency_of(mixture, kEpsilon)(x, sigma),
                               test::consistency_of(gaussian, kEpsilon)(x, sigma)),
            3e-10);
}

// In one dimension the flow keeps the order of points, so it carries quantiles to quantiles.
TEST(GaussianTruths, InOneDimensionTheFlowKeepsQuantiles) {
  const test::Mixture data{torch::tensor({{-1.0}, {0.2}, {0.9}}, torch::kFloat64),
                           torch::tensor({0.3, 0.5, 0.2}, torch::kFloat64), 0.25};
  const Tensor sigma = torch::tensor({80.0, 80.0, 10.0, 1.0, 0.3}, torch::kFloat64);
  const Tensor x = torch::tensor({{-60.0}, {25.0}, {3.0}, {-0.4}, {0.7}}, torch::kFloat64);
  const Tensor end = test::consistency_of(data, kEpsilon)(x, sigma);
  EXPECT_LT(largest_difference(distribution_function(data, end, torch::full_like(sigma, kEpsilon)),
                               distribution_function(data, x, sigma)),
            1e-9);
}

// Tweedie: D(x, σ) = x + σ² ∇ log p_σ(x), the gradient by autograd.
TEST(GaussianTruths, TheMixturesDenoiserIsTheScoreOfItsDensity) {
  const test::Mixture data{torch::tensor({{-1.0, 0.4}, {0.8, -0.5}}, torch::kFloat64),
                           torch::tensor({0.4, 0.6}, torch::kFloat64), 0.3};
  const double sigma = 0.7;
  const double variance = data.std * data.std + sigma * sigma;
  const Tensor x = torch::tensor({{0.1, 0.2}, {-1.5, 0.3}}, torch::kFloat64).requires_grad_(true);
  const Tensor logits = data.weights.log() - (x.unsqueeze(1) - data.means).square().sum(2) / (2 * variance);
  logits.logsumexp(1).sum().backward();
  const Tensor expected = x.detach() + sigma * sigma * x.grad();
  const Tensor denoised = test::denoiser_of(data)(x.detach(), torch::full({2}, sigma, torch::kFloat64));
  EXPECT_LT(largest_difference(denoised, expected), 1e-13);
}

}  // namespace
}  // namespace cm
