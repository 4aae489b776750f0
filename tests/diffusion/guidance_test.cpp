#include "cm/diffusion/guidance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "cm/base/random.h"
#include "cm/diffusion/gaussian_mixture.h"
#include "cm/diffusion/sampler.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::largest_difference;
using test::message_of;
using testing::HasSubstr;

// Two classes, N(m_0, s² I) and N(m_1, s² I) with different shares; all data is their mixture.
constexpr double kStd = 0.3;

GaussianMixture mixture(const Tensor& means, const Tensor& weights) {
  return {.means = means, .weights = weights, .stds = torch::full_like(weights, kStd)};
}

GaussianMixture everything() {
  return mixture(torch::tensor({{-0.5, 0.2}, {0.4, -0.1}}, torch::kFloat64),
                 torch::tensor({0.3, 0.7}, torch::kFloat64));
}

GaussianMixture class_of(int64_t k) {
  return mixture(everything().means.narrow(0, k, 1), torch::ones({1}, torch::kFloat64));
}

Denoiser guided_to_class_1(double w) {
  return guided(denoiser_of(class_of(1)), denoiser_of(everything()), {w});
}

// log p_σ(x) but for a constant, [B].
Tensor log_density(const GaussianMixture& data, const Tensor& x, const Tensor& sigma) {
  const Tensor variance = kStd * kStd + sigma.square().unsqueeze(1);
  const Tensor distance2 = (x.unsqueeze(1) - data.means).square().sum(2);
  return (data.weights.log() - distance2 / (2 * variance)).logsumexp(1);
}

struct NoisyPoints {
  Tensor x = normal({.seed = 3}, sample_range(0, 40), {2}).to(torch::kFloat64);
  Tensor sigma = torch::linspace(0.05, 3, 40, torch::kFloat64);
};

TEST(Guidance, ItsEndsAreTheClassAndAllDataThemselves) {
  const NoisyPoints at;
  const Denoiser never = [](const Tensor&, const Tensor&) -> Tensor {
    throw std::runtime_error("an evaluation too many");
  };
  const Denoiser of_class = denoiser_of(class_of(1));
  const Denoiser of_all = denoiser_of(everything());
  EXPECT_TRUE(torch::equal(guided(of_class, never, {1})(at.x, at.sigma), of_class(at.x, at.sigma)));
  EXPECT_TRUE(torch::equal(guided(never, of_all, {0})(at.x, at.sigma), of_all(at.x, at.sigma)));
}

// D_w − x = σ² ∇ log (p(x | 1)^w p(x)^(1 − w)), the gradient by differentiating the densities.
TEST(Guidance, ItsScoreIsThatOfThePoweredDensity) {
  const NoisyPoints at;
  for (const double w : {0.0, 0.4, 1.0, 2.5, 7.0}) {
    const Tensor x = at.x.clone().requires_grad_();
    const Tensor log_p =
        w * log_density(class_of(1), x, at.sigma) + (1 - w) * log_density(everything(), x, at.sigma);
    log_p.sum().backward();
    const Tensor expected = at.x + at.sigma.square().unsqueeze(1) * x.grad();
    EXPECT_LT(largest_difference(guided_to_class_1(w)(at.x, at.sigma), expected), 1e-12) << w;
  }
}

// p(1 | x₀) of samples, averaged.
double typicality(double w) {
  const Tensor x_T = 80 * normal({.seed = 5}, sample_range(0, 500), {2}).to(torch::kFloat64);
  const auto sigmas = sampler_sigmas({}, 40);
  const Tensor x = sample_ode(Solver::heun, guided_to_class_1(w), x_T, sigmas);
  const Tensor zero = torch::zeros({500}, torch::kFloat64);
  const Tensor log_share =
      std::log(0.7) + log_density(class_of(1), x, zero) - log_density(everything(), x, zero);
  return log_share.exp().mean().item<double>();
}

TEST(Guidance, MoreOfItMakesSamplesMoreTypicalOfTheClass) {
  const double all = typicality(0);
  const double own = typicality(1);
  EXPECT_NEAR(all, 0.7, 0.06);  // the share of the class, of 500 samples
  EXPECT_GT(own, all + 0.1);
  EXPECT_GT(typicality(2), own + 0.02);
  EXPECT_GT(typicality(4), typicality(2));
}

// Where the weaker one is of wider data, guidance narrows: of N(0, s²) and N(0, S²) it makes the Gaussian
// whose inverse variance at each level is w/(s² + σ²) + (1 − w)/(S² + σ²).
TEST(Guidance, AWeakerModelOfWiderDataMakesItsSamplesNarrower) {
  const auto gaussian = [](double std) {
    return denoiser_of({.means = torch::zeros({1, 2}, torch::kFloat64),
                        .weights = torch::ones({1}, torch::kFloat64),
                        .stds = torch::full({1}, std, torch::kFloat64)});
  };
  const NoisyPoints at;
  const double w = 2;
  const Tensor sigma2 = at.sigma.square().unsqueeze(1);
  const Tensor slope = w / (0.3 * 0.3 + sigma2) + (1 - w) / (0.5 * 0.5 + sigma2);
  const Denoiser narrower = guided(gaussian(0.3), gaussian(0.5), {w});
  EXPECT_LT(largest_difference(narrower(at.x, at.sigma), at.x - sigma2 * slope * at.x), 1e-12);
  const Tensor x_T = 80 * normal({.seed = 5}, sample_range(0, 500), {2}).to(torch::kFloat64);
  const auto std_of = [&](const Denoiser& denoiser) {
    return sample_ode(Solver::heun, denoiser, x_T, sampler_sigmas({}, 40)).std().item<double>();
  };
  EXPECT_NEAR(std_of(gaussian(0.3)), 0.3, 0.02);
  EXPECT_LT(std_of(narrower), 0.25);
}

TEST(Guidance, HoldsInItsInterval) {
  const Tensor x = normal({.seed = 3}, sample_range(0, 5), {2}).to(torch::kFloat64);
  const Tensor sigma = torch::tensor({0.1, 0.5, 0.6, 2.0, 2.1}, torch::kFloat64);
  const Denoiser own = denoiser_of(class_of(1));
  const Denoiser weak = denoiser_of(everything());
  const auto expect_guided = [&](const Guidance& guidance, const std::vector<bool>& inside) {
    const Tensor everywhere = guided(own, weak, {guidance.weight})(x, sigma);
    const Tensor here = guided(own, weak, guidance)(x, sigma);
    for (size_t i = 0; i < inside.size(); ++i) {
      const auto row = static_cast<int64_t>(i);
      const Tensor expected = inside[i] ? everywhere[row] : own(x, sigma)[row];
      EXPECT_TRUE(torch::equal(here[row], expected)) << i;
      // One level for all samples: the same, and outside without the weaker one.
      int64_t calls = 0;
      const Denoiser counted = [&](const Tensor& at, const Tensor& level) {
        ++calls;
        return weak(at, level);
      };
      const Denoiser alone = guided(own, counted, guidance, Levels::one);
      EXPECT_TRUE(torch::equal(alone(x.narrow(0, row, 1), sigma.narrow(0, row, 1))[0], expected)) << i;
      EXPECT_EQ(calls, inside[i] ? 1 : 0) << i;
    }
  };
  expect_guided({3, 0.5, 2.0}, {false, false, true, true, false});
  expect_guided({0, 0.5, 2.0}, {false, false, true, true, false});
  expect_guided({3, 0.5}, {false, false, true, true, true});
  expect_guided({3, 0, 0.5}, {true, true, false, false, false});
}

TEST(Guidance, AWeightBelowZeroIsRefused) {
  const auto message = [](double w) { return message_of<c10::Error>([&] { guided_to_class_1(w); }); };
  EXPECT_THAT(message(-1), HasSubstr("a guidance weight must be at least 0, got -1"));
  EXPECT_THAT(message(std::numeric_limits<double>::infinity()), HasSubstr("must be at least 0, got inf"));
}

}  // namespace
}  // namespace cm
