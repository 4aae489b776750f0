#include "cm/diffusion/ddpm_levels.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cm/diffusion/preconditioning.h"
#include "cm/diffusion/sampler.h"
#include "support/closeness.h"
#include "support/gaussian.h"

namespace cm {
namespace {

using test::largest_difference;

// σ by the product that ᾱ is defined as.
std::vector<double> ddpm_levels_by_product() {
  std::vector<double> levels;
  double alpha_bar = 1;
  for (int i = 0; i < 1000; ++i) {
    alpha_bar *= 1 - (1e-4 + (0.02 - 1e-4) * i / 999);
    levels.push_back(std::sqrt(1 / alpha_bar - 1));
  }
  return levels;
}

TEST(DdpmLevels, AreThoseOfTheProduct) {
  const Tensor expected = torch::tensor(ddpm_levels_by_product(), torch::kFloat64);
  const Tensor levels = ddpm_level(torch::arange(1000));
  EXPECT_LT(((levels - expected) / expected).abs().max().item<double>(), 1e-6);
  EXPECT_NEAR(ddpm_sigma().min, levels[0].item<double>(), 1e-15);
  EXPECT_NEAR(ddpm_sigma().max, levels[999].item<double>(), 1e-12);
  EXPECT_EQ(ddpm_sigma().data, 1);
}

// A network that was trained at whole times is asked at these, although its levels are fp32.
TEST(DdpmLevels, OfFp32HaveTheTimesOfTheirOwn) {
  const Tensor times = torch::arange(1000);
  const Tensor asked = ddpm_time(ddpm_level(times).to(torch::kFloat32));
  EXPECT_EQ(asked.scalar_type(), torch::kFloat32);
  EXPECT_LT(largest_difference(asked.to(torch::kFloat64), times.to(torch::kFloat64)),
            6.2e-5);  // an ulp of 999
}

TEST(DdpmLevels, BetweenThemTimeGoesByTheLogarithm) {
  const Tensor ends = ddpm_level(torch::tensor({400, 401}));
  const Tensor middle = ends.prod().sqrt().view({1});
  EXPECT_NEAR(ddpm_time(middle).item<double>(), 400.5, 1e-6);
  EXPECT_EQ(ddpm_time(torch::tensor({1e3}, torch::kFloat64)).item<double>(), 999);
  EXPECT_EQ(ddpm_time(torch::tensor({0.0, 1e-3}, torch::kFloat64)).abs().max().item<double>(), 0);
}

TEST(DdpmLevels, TimesHaveTheDerivativeOfTheirLine) {
  const Tensor ends = ddpm_level(torch::tensor({70, 71}));
  Tensor sigma = ends.prod().sqrt().view({1}).clone().requires_grad_(true);
  ddpm_time(sigma).sum().backward();
  const double slope = 1 / (std::log((ends[1] / ends[0]).item<double>()) * sigma.item<double>());
  EXPECT_NEAR(sigma.grad().item<double>() / slope, 1, 1e-9);
}

TEST(DdpmLevels, DdimTakesEveryKthTime) {
  const std::vector<double> product = ddpm_levels_by_product();
  const std::vector<double> sigmas = ddim_sigmas(3);
  ASSERT_EQ(sigmas.size(), 4U);
  for (const auto& [i, time] : {std::pair{0, 666}, std::pair{1, 333}, std::pair{2, 0}}) {
    EXPECT_NEAR(sigmas[static_cast<size_t>(i)] / product[static_cast<size_t>(time)], 1, 1e-6);
  }
  EXPECT_EQ(sigmas.back(), 0);
  EXPECT_EQ(ddim_sigmas(1000).size(), 1001U);
  EXPECT_THROW(ddim_sigmas(0), c10::Error);
  EXPECT_THROW(ddim_sigmas(1001), c10::Error);
}

// DDIM's step of z = √ᾱ x by the noise ε (arXiv 2010.02502, Eq. 12 at η = 0) is Euler's of x.
TEST(DdpmLevels, DdimIsEulersWalk) {
  const RawNetwork noise_of = [](const Tensor& z, const Tensor& time) {
    return (2 * z + per_sample(time, z) / 500).sin();
  };
  const std::vector<double> sigmas = ddim_sigmas(7);
  const Tensor start = torch::linspace(-1, 1, 12, torch::kFloat64).view({3, 4});
  Tensor z = start;
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const auto alpha_bar = [](double sigma) { return 1 / (1 + sigma * sigma); };
    const double now = alpha_bar(sigmas[i]);
    const double next = alpha_bar(sigmas[i + 1]);
    const Tensor noise = noise_of(z, torch::full({3}, 142.0 * static_cast<double>(6 - i), torch::kFloat64));
    z = std::sqrt(next) * (z - std::sqrt(1 - now) * noise) / std::sqrt(now) + std::sqrt(1 - next) * noise;
  }
  const Denoiser denoiser = precondition(Parameterization::vp_diffusion, {}, 1000, noise_of);
  const double first = sigmas.front();
  const Tensor walked = sample_ode(Solver::euler, denoiser, start * std::sqrt(1 + first * first), sigmas);
  EXPECT_LT(largest_difference(walked, z), 1e-9);
}

// For data N(0, 1), z has variance 1 at all times, and its noise is E[e | z] = √(1 − ᾱ) z.
TEST(DdpmLevels, TheNoiseOfAGaussianMakesItsDenoiser) {
  const RawNetwork noise_of = [](const Tensor& z, const Tensor& time) {
    const Tensor sigma = ddpm_level(time);
    return per_sample(sigma / (sigma.square() + 1).sqrt(), z) * z;
  };
  const Tensor x = torch::linspace(-3, 3, 15, torch::kFloat64).view({3, 5});
  const Tensor sigma = ddpm_level(torch::tensor({2, 500, 997}));
  const Denoiser denoiser = precondition(Parameterization::vp_diffusion, {}, 1000, noise_of);
  const test::Gaussian data{torch::zeros({1}), 1};
  EXPECT_LT(largest_difference(denoiser(x, sigma), test::denoiser_of(data)(x, sigma)), 1e-8);
}

}  // namespace
}  // namespace cm
