#include "cm/diffusion/jvp.h"

#include <ATen/Context.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"
#include "support/gaussian.h"

namespace cm {
namespace {

using test::kGaussian;
using test::largest_difference;

const Tensor kSigma = torch::tensor({0.01, 0.5, 20.0}, torch::kFloat64);

Tensor some_x() {
  return kSigma.unsqueeze(1) * normal({.seed = 1}, sample_range(0, 3), {3}).to(torch::kFloat64);
}

// The probability-flow ODE's direction at (x, σ).
Direction along_trajectory(const Tensor& x, const Tensor& sigma) {
  const Denoiser denoiser = test::denoiser_of(kGaussian);
  return {(x - denoiser(x, sigma)) / sigma.unsqueeze(1), torch::ones_like(sigma)};
}

// That f is the same all along a trajectory is what makes it a consistency function (CM §3).
TEST(Jvp, TheExactConsistencyFunctionDoesNotChangeAlongTrajectories) {
  const Tensor x = some_x();
  const Denoiser f = test::consistency_of(kGaussian, 0.002);
  const auto [value, tangent] = jvp(f, x, kSigma, along_trajectory(x, kSigma));
  EXPECT_LT(largest_difference(value, f(x, kSigma)), 1e-14);
  EXPECT_LT(test::largest(tangent), 1e-13);
}

// D = (σ² m + s² x)/(s² + σ²): ∂D/∂x = s²/(s² + σ²), ∂D/∂σ = 2σ s² (m − x)/(s² + σ²)².
TEST(Jvp, AClosedFormDerivative) {
  const Tensor x = some_x();
  const Direction direction{torch::full_like(x, 0.4), torch::tensor({1.0, -2.0, 0.5}, torch::kFloat64)};
  const Tensor sigma = kSigma.unsqueeze(1);
  const double s2 = kGaussian.std * kGaussian.std;
  const Tensor variance = s2 + sigma.square();
  const Tensor expected = s2 / variance * direction.x_dot + 2 * sigma * s2 * (kGaussian.mean - x) /
                                                                variance.square() *
                                                                direction.sigma_dot.unsqueeze(1);
  EXPECT_LT(largest_difference(jvp(test::denoiser_of(kGaussian), x, kSigma, direction).tangent, expected),
            1e-12);
}

TEST(Jvp, BothWaysAgreeAndOnlyOneIsDifferentiable) {
  const Tensor x = some_x();
  const Tensor parameter = torch::tensor({1.5}, torch::kFloat64).requires_grad_(true);
  const Denoiser f = [&](const Tensor& at, const Tensor& sigma) {
    return (parameter * at * per_sample(sigma, at)).sin();
  };
  const Direction direction = along_trajectory(x, kSigma);
  const Jvp forward = jvp(f, x, kSigma, direction);
  const Jvp twice_backward = differentiable_jvp(f, x, kSigma, direction);
  EXPECT_LT(largest_difference(forward.tangent, twice_backward.tangent), 1e-10);
  EXPECT_LT(largest_difference(forward.value, twice_backward.value), 1e-14);
  EXPECT_FALSE(forward.tangent.requires_grad());

  twice_backward.tangent.sum().backward();
  const double step = 1e-6;
  const auto sum_at = [&](double shift) {
    const Denoiser shifted = [&](const Tensor& at, const Tensor& sigma) {
      return ((parameter.detach() + shift) * at * per_sample(sigma, at)).sin();
    };
    return jvp(shifted, x, kSigma, direction).tangent.sum().item<double>();
  };
  const double expected = (sum_at(step) - sum_at(-step)) / (2 * step);
  EXPECT_NEAR(parameter.grad().item<double>(), expected, 1e-5 * std::abs(expected));
}

// f = p x σ: one pass, whose value learns and whose tangent is a number.
TEST(Jvp, TheValueOfOnePassLearnsAndItsTangentIsANumber) {
  const Tensor x = some_x();
  const Tensor parameter = torch::tensor({1.5}, torch::kFloat64).requires_grad_(true);
  int evaluations = 0;
  const Denoiser f = [&](const Tensor& at, const Tensor& sigma) {
    ++evaluations;
    return (parameter * at * per_sample(sigma, at)).sin();
  };
  const Direction direction = along_trajectory(x, kSigma);
  const auto [value, tangent] = jvp_with_graph(f, x, kSigma, direction);
  EXPECT_EQ(evaluations, 1);
  EXPECT_FALSE(tangent.requires_grad());
  const Jvp alone = jvp(f, x, kSigma, direction);
  EXPECT_FALSE(alone.value.requires_grad());
  EXPECT_TRUE(torch::equal(tangent, alone.tangent));
  EXPECT_TRUE(torch::equal(value, alone.value));
  (value * tangent).sum().backward();
  const Tensor slope = x * per_sample(kSigma, x) * alone.value.square().neg().add(1).sqrt() *
                       (parameter.detach() * x * per_sample(kSigma, x)).cos().sign();
  EXPECT_NEAR(parameter.grad().item<double>(), (slope * tangent).sum().item<double>(),
              1e-9 * std::abs(parameter.grad().item<double>()));
}

TEST(Jvp, AFunctionThatDoesNotDependOnItsInputsHasNoTangent) {
  const Tensor x = some_x();
  const Denoiser constant = [](const Tensor& at, const Tensor&) { return torch::ones_like(at.detach()); };
  EXPECT_EQ(test::largest(jvp(constant, x, kSigma, along_trajectory(x, kSigma)).tangent), 0);
}

TEST(Jvp, AttentionKernelsAreRestored) {
  const bool before = at::globalContext().userEnabledFlashSDP();
  {
    const PlainAttention plain;
    EXPECT_FALSE(at::globalContext().userEnabledFlashSDP());
  }
  EXPECT_EQ(at::globalContext().userEnabledFlashSDP(), before);
}

}  // namespace
}  // namespace cm
