#include "cm/diffusion/guidance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "cm/base/random.h"
#include "cm/diffusion/gaussian_mixture.h"
#include "cm/diffusion/sampler.h"
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
  return guided(denoiser_of(class_of(1)), denoiser_of(everything()), w);
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
  EXPECT_TRUE(torch::equal(guided(of_class, never, 1)(at.x, at.sigma), of_class(at.x, at.sigma)));
  EXPECT_TRUE(torch::equal(guided(never, of_all, 0)(at.x, at.sigma), of_all(at.x, at.sigma)));
  EXPECT_EQ(guided_evaluations(1), 1);
  EXPECT_EQ(guided_evaluations(0), 1);
  EXPECT_EQ(guided_evaluations(1.5), 2);
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

TEST(Guidance, AWeightBelowZeroIsRefused) {
  const auto message = [](double w) { return message_of<c10::Error>([&] { guided_to_class_1(w); }); };
  EXPECT_THAT(message(-1), HasSubstr("a guidance weight must be at least 0, got -1"));
  EXPECT_THAT(message(std::numeric_limits<double>::infinity()), HasSubstr("must be at least 0, got inf"));
}

}  // namespace
}  // namespace cm
