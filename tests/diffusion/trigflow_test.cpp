#include "cm/diffusion/trigflow.h"

#include <gtest/gtest.h>

#include <cmath>

#include <numbers>

#include "cm/base/random.h"
#include "cm/diffusion/preconditioning.h"
#include "cm/diffusion/sampler.h"
#include "support/closeness.h"
#include "support/gaussian.h"
#include "support/random_batch.h"

namespace cm {
namespace {

using test::kGaussian;
using test::largest_difference;

constexpr double kSigmaData = 0.5;
const Tensor kTime = torch::tensor({0.01, 0.8, 1.56}, torch::kFloat64);

Tensor random(uint64_t seed) {
  return test::random_points(3, 3, seed);
}

// Something that depends on both inputs.
Tensor arbitrary_trig_network(const Tensor& y, const Tensor& t) {
  return (3 * y).sin() + per_sample(t.cos(), y);
}

TEST(Trigflow, TimeIsTheAngleOfTheNoiseLevel) {
  const Tensor sigma = torch::tensor({0.0, 0.5, 0.5 * std::tan(1.1)}, torch::kFloat64);
  const Tensor expected = torch::tensor({0.0, std::numbers::pi / 4, 1.1}, torch::kFloat64);
  EXPECT_LT(largest_difference(trig_time(sigma, kSigmaData), expected), 1e-15);
}

// f(x, σ) = cos(t) x_t − sin(t) σ_d F(x_t/σ_d, t) at x_t = cos(t) x.
TEST(Trigflow, TheParameterizationIsItsFormula) {
  const Tensor x_t = random(1);
  const Tensor cos = kTime.cos().unsqueeze(1);
  const Tensor sin = kTime.sin().unsqueeze(1);
  const Tensor expected = cos * x_t - sin * kSigmaData * arbitrary_trig_network(x_t / kSigmaData, kTime);
  for (const auto kind : {Parameterization::trig, Parameterization::trig_diffusion}) {
    const Denoiser f = precondition(kind, {}, 1000, arbitrary_trig_network);
    EXPECT_LT(largest_difference(f(x_t / cos, kSigmaData * kTime.tan()), expected), 1e-12);
  }
}

TEST(Trigflow, TheConsistencyFunctionIsTheIdentityAtZero) {
  const Denoiser f = precondition(Parameterization::trig, {}, 1000, arbitrary_trig_network);
  const Tensor x = random(1);
  EXPECT_TRUE(torch::equal(f(x, torch::zeros(3, torch::kFloat64)), x));
}

// By the model's own denoiser, and by the velocity E[cos(t) z − sin(t) x₀ | x_t] of a Gaussian, worked out by
// hand: x₀ and z are jointly normal with x_t.
TEST(Trigflow, TheVelocityOfADenoiser) {
  const Tensor x_t = random(2);
  const Denoiser own = precondition(Parameterization::trig_diffusion, {}, 1, arbitrary_trig_network);
  const Tensor network = kSigmaData * arbitrary_trig_network(x_t / kSigmaData, kTime);
  EXPECT_LT(largest_difference(trig_velocity(own, x_t, kTime, kSigmaData), network), 1e-12);

  const Tensor cos = kTime.cos().unsqueeze(1);
  const Tensor sin = kTime.sin().unsqueeze(1);
  const double s2 = kGaussian.std * kGaussian.std;
  const double d2 = kSigmaData * kSigmaData;
  const Tensor variance = cos.square() * s2 + sin.square() * d2;
  const Tensor covariance = cos * sin * (d2 - s2);  // of cos(t) z − sin(t) x₀ with x_t
  const Tensor expected = -sin * kGaussian.mean + covariance / variance * (x_t - cos * kGaussian.mean);
  EXPECT_LT(largest_difference(trig_velocity(test::denoiser_of(kGaussian), x_t, kTime, kSigmaData), expected),
            1e-10);
}

// Two exact steps with the boundary at 0 sample the data itself, whatever the point between.
TEST(Trigflow, MultistepWithTheBoundaryAtZeroSamplesAGaussian) {
  constexpr int64_t kSamples = 20'000;
  const Denoiser f = test::consistency_of(kGaussian, 0);
  const auto unit = [](uint64_t seed) {
    return normal({.seed = seed}, sample_range(0, kSamples), {3}).to(torch::kFloat64);
  };
  const Tensor x_T = kGaussian.mean + std::sqrt(kGaussian.std * kGaussian.std + 80.0 * 80.0) * unit(1);
  const Tensor x = sample_multistep(f, x_T, {80, 0.98, 0}, 0, [&](int64_t step) { return unit(2 + step); });
  EXPECT_LT(largest_difference(x.mean(0), kGaussian.mean), 5 * kGaussian.std / std::sqrt(kSamples));
  EXPECT_NEAR(x.std(0).mean().item<double>(), kGaussian.std, 5 * kGaussian.std / std::sqrt(2.0 * kSamples));
}

}  // namespace
}  // namespace cm
