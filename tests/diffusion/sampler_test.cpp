#include "cm/diffusion/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

#include "cm/base/error.h"
#include "cm/diffusion/gaussian_mixture.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"
#include "support/each_near.h"
#include "support/gaussian.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::each_near;
using test::kSigmaMin;
using test::largest_difference;
using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;

const Denoiser kZero = [](const Tensor& x, const Tensor&) { return torch::zeros_like(x); };
const NoiseSource kNoNoise = [](int64_t) -> Tensor { throw std::logic_error("nothing was to be drawn"); };

NoiseSource always_ones(const Tensor& x) {
  return [x](int64_t) { return torch::ones_like(x); };
}

NoiseSource float64_noise(int64_t count, int64_t dimensions) {
  return [=](int64_t step) {
    const RandomKey key{.seed = 5, .purpose = Purpose::sampling_noise, .step = static_cast<uint32_t>(step)};
    return normal(key, sample_range(0, count), {dimensions}).to(torch::kFloat64);
  };
}

// Mean [D] and covariance [D, D] of samples [n, D] against the truth, within 5 standard errors each.
void expect_moments(const Tensor& samples, const Tensor& mean, const Tensor& covariance) {
  const double root_n = std::sqrt(static_cast<double>(samples.size(0)));
  const Tensor errors = samples - mean;
  EXPECT_LT(test::largest(errors.mean(0) / (errors.std(0) / root_n)), 5);
  const Tensor products = errors.unsqueeze(2) * errors.unsqueeze(1);
  EXPECT_LT(test::largest((products.mean(0) - covariance) / (products.std(0) / root_n)), 5);
}

// The noise levels at which the sampler asks for the denoiser's answer.
std::vector<double> levels_called(const std::function<void(const Denoiser&)>& run) {
  std::vector<double> levels;
  run([&](const Tensor& x, const Tensor& sigma) {
    levels.push_back(sigma[0].item<double>());
    return torch::zeros_like(x);
  });
  return levels;
}

TEST(Sampler, MultistepWithTheExactFunctionKeepsAGaussian) {
  const int64_t count = 100'000;
  const Tensor mean = torch::tensor({0.3, -0.8}, torch::kFloat64);
  const GaussianMixture data{mean.unsqueeze(0), torch::ones({1}, torch::kFloat64),
                             torch::full({1}, 0.5, torch::kFloat64)};
  const Denoiser f = test::consistency_of(test::Gaussian{mean, 0.5}, kSigmaMin);
  const Tensor x_T = draw(data, 80, 11, 0, sample_range(0, count));
  const auto noise = float64_noise(count, 2);
  const Tensor truth = covariance_of(data, kSigmaMin);
  expect_moments(sample_onestep(f, x_T, 80), mean, truth);
  expect_moments(sample_multistep(f, x_T, {80, kSigmaMin}, kSigmaMin, noise), mean, truth);
  expect_moments(sample_multistep(f, x_T, {80, 2.2404, 0.5, kSigmaMin}, kSigmaMin, noise), mean, truth);
}

TEST(Sampler, MultistepAddsTheNoiseThatAPointLacks) {
  EXPECT_DOUBLE_EQ(added_noise(5, 3), 4);
  EXPECT_DOUBLE_EQ(added_noise(5, 0), 5);
  EXPECT_EQ(added_noise(0.002, 0.002), 0);
  EXPECT_EQ(added_noise(0.0019999996, 0.002), 0);
}

TEST(Sampler, MultistepWithTheExactFunctionKeepsAMixture) {
  const int64_t count = 4'000;
  const GaussianMixture data{torch::tensor({{-1.0, 0.4}, {0.8, -0.5}}, torch::kFloat64),
                             torch::tensor({0.4, 0.6}, torch::kFloat64),
                             torch::full({2}, 0.3, torch::kFloat64)};
  const Denoiser f = consistency_of(data, kSigmaMin);
  const Tensor x = sample_multistep(f, draw(data, 80, 12, 0, sample_range(0, count)), {80, 0.8, kSigmaMin},
                                    kSigmaMin, float64_noise(count, 2));
  expect_moments(x, mean_of(data), covariance_of(data, kSigmaMin));
}

TEST(Sampler, AMultistepWalkThatEndsAboveEpsilonLeavesNoise) {
  const Tensor x_T = torch::zeros({3, 2}, torch::kFloat64);
  const Tensor x = sample_multistep(kZero, x_T, {80, 1.5}, 0.5, always_ones(x_T));
  EXPECT_LT(largest_difference(x, torch::full({3, 2}, std::sqrt(2.0))), 1e-7);
}

TEST(Sampler, MultistepDrawsBetweenItsStepsOnly) {
  const Tensor x_T = torch::ones({2, 2});
  std::vector<int64_t> drawn;
  const NoiseSource noise = [&](int64_t step) {
    drawn.push_back(step);
    return torch::zeros_like(x_T);
  };
  sample_multistep(kZero, x_T, {80, 5, 1, kSigmaMin}, kSigmaMin, noise);
  EXPECT_THAT(drawn, ElementsAre(0, 1));
}

TEST(Sampler, MultistepSigmasFollowTheGrid) {
  EXPECT_THAT(multistep_sigmas({}, 1, 40), each_near({80}, 1e-4));
  EXPECT_THAT(multistep_sigmas({}, 2, 40), each_near({80, 2.2404}, 1e-4));
  EXPECT_EQ(multistep_sigmas({}, 40, 40).size(), 40U);
  EXPECT_THAT(message_of<InputError>([] { multistep_sigmas({}, 0, 40); }),
              HasSubstr("multistep sampling on a grid of 40 levels takes 1 to 40 steps, got 0"));
  EXPECT_THAT(message_of<InputError>([] { multistep_sigmas({}, 41, 40); }), HasSubstr("got 41"));
}

TEST(Sampler, TheLastStepOfAnOdeWalkIsTheDenoiser) {
  const GaussianMixture data{torch::tensor({{-1.0}, {0.8}}, torch::kFloat64),
                             torch::tensor({0.4, 0.6}, torch::kFloat64),
                             torch::full({2}, 0.3, torch::kFloat64)};
  const Denoiser denoiser = denoiser_of(data);
  const Tensor x_T = draw(data, 80, 1, 0, sample_range(0, 8));
  const Tensor once = denoiser(x_T, torch::full({8}, 80.0, torch::kFloat64));
  for (const auto& [solver, name] : EnumNames<Solver>::names) {
    if (rule_to_zero(solver) != Solver::euler) continue;
    EXPECT_LT(largest_difference(sample_ode(solver, denoiser, x_T, {80, 0}), once), 1e-12) << name;
  }
}

TEST(Sampler, WithoutChurnItIsTheOdeWalk) {
  const Denoiser halving = [](const Tensor& x, const Tensor&) { return 0.5 * x; };
  const Tensor x_T = normal({.seed = 2}, sample_range(0, 3), {4});
  const auto sigmas = sampler_sigmas({}, 6);
  EXPECT_TRUE(torch::equal(sample_churned(Solver::heun, halving, x_T, sigmas, {}, kNoNoise),
                           sample_ode(Solver::heun, halving, x_T, sigmas)));
}

TEST(Sampler, ChurnRaisesTheLevelsInItsRangeOnly) {
  const Tensor x_T = torch::ones({1, 2});
  const Churn churn{.s_churn = 0.5, .s_tmin = 2, .s_tmax = 40};  // both ends belong to it
  const auto levels = levels_called([&](const Denoiser& d) {
    sample_churned(Solver::euler, d, x_T, {80, 40, 2, 0.5, 0}, churn, always_ones(x_T));
  });
  const double raised = 1 + 0.5 / 4;
  EXPECT_THAT(levels, each_near({80, 40 * raised, 2 * raised, 0.5}, 1e-5));
}

TEST(Sampler, TheRangeOfChurnHasItsEnds) {
  const Tensor x_T = torch::ones({1, 2});
  const auto levels = levels_called([&](const Denoiser& d) {
    sample_churned(Solver::euler, d, x_T, {4, 2, 1, 0}, {.s_churn = 0.3, .s_tmin = 2, .s_tmax = 4},
                   always_ones(x_T));
  });
  EXPECT_THAT(levels, each_near({4.4, 2.2, 1}, 1e-6));
}

TEST(Sampler, ChurnAddsTheMissingVariance) {
  const Tensor x_T = torch::zeros({1, 2}, torch::kFloat64);
  // γ is capped at √2 − 1: σ̂² = 2 σ², so the noise added at σ = 3 has standard deviation 3 (times S_noise).
  const Churn churn{.s_churn = 100, .s_noise = 1.5};
  const Tensor x = sample_churned(Solver::euler, kZero, x_T, {3, 1}, churn, always_ones(x_T));
  EXPECT_LT(largest_difference(x, torch::full({1, 2}, 1.5 * 3 / (3 * std::sqrt(2.0)), torch::kFloat64)),
            1e-12);
}

TEST(Sampler, AncestralSplitsEachLevelIntoAStepAndNoise) {
  const Tensor x_T = torch::full({1, 2}, 2.0, torch::kFloat64);
  // From 2 to 1: σ_up² = 1 · (4 − 1)/4 and σ_down = 1/2, so x = 2 · (1/2)/2 + √¾.
  const Tensor x = sample_ancestral(kZero, x_T, {2, 1}, always_ones(x_T));
  EXPECT_LT(largest_difference(x, torch::full({1, 2}, 0.5 + std::sqrt(0.75), torch::kFloat64)), 1e-12);
  EXPECT_EQ(test::largest(sample_ancestral(kZero, x_T, {2, 0}, kNoNoise)), 0);
}

// A walk over a fine grid carries p_T to p_0, with noise added on the way or without.
TEST(Sampler, FineWalksReachTheData) {
  const int64_t count = 20'000;
  const GaussianMixture data{torch::tensor({{-1.0}, {0.8}}, torch::kFloat64),
                             torch::tensor({0.4, 0.6}, torch::kFloat64),
                             torch::full({2}, 0.3, torch::kFloat64)};
  const Denoiser denoiser = denoiser_of(data);
  const Tensor x_T = draw(data, 80, 13, 0, sample_range(0, count));
  const auto sigmas = sampler_sigmas({}, 60);
  const auto noise = float64_noise(count, 1);
  const Tensor mean = mean_of(data);
  const Tensor covariance = covariance_of(data, 0);
  expect_moments(sample_ode(Solver::heun, denoiser, x_T, sigmas), mean, covariance);
  const Churn churn{.s_churn = 20, .s_tmin = 0.05, .s_tmax = 50};
  expect_moments(sample_churned(Solver::heun, denoiser, x_T, sigmas, churn, noise), mean, covariance);
}

}  // namespace
}  // namespace cm
