#include "cm/diffusion/gaussian_mixture.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/closeness.h"
#include "support/gaussian.h"

namespace cm {
namespace {

using test::kSigmaMin;
using test::largest_difference;

Tensor numbers(std::initializer_list<double> values) {
  return torch::tensor(std::vector<double>(values), torch::kFloat64);
}

GaussianMixture plane() {
  return {torch::tensor({{-1.0, 0.4}, {0.8, -0.5}, {0.1, 0.9}}, torch::kFloat64), numbers({0.3, 0.5, 0.2}),
          numbers({0.1, 0.3, 0.2})};
}

// Points along the trajectories of p_80.
struct TrajectoryPoints {
  Tensor x = draw(plane(), 80, 4, 0, sample_range(0, 64));
  Tensor sigma = torch::full({64}, 80.0, torch::kFloat64);
};

TEST(GaussianMixture, OfOneGaussianIsItsClosedForm) {
  const Tensor mean = numbers({0.3, -0.8});
  const test::Gaussian gaussian{mean, 0.5};
  const GaussianMixture mixture{mean.unsqueeze(0), numbers({1}), numbers({0.5})};
  const Tensor sigma = numbers({80.0, 2.0, 0.1, kSigmaMin});
  const Tensor x = mean + per_sample(sigma, torch::ones({4, 2})) * 1.3;
  EXPECT_LT(largest_difference(denoiser_of(mixture)(x, sigma), test::denoiser_of(gaussian)(x, sigma)), 1e-14);
  EXPECT_LT(largest_difference(consistency_of(mixture, kSigmaMin)(x, sigma),
                               test::consistency_of(gaussian, kSigmaMin)(x, sigma)),
            1e-9);
}

// Gaussians of equal width along a line through `origin` in `direction`, at `places` on it.
struct Line {
  Tensor origin = numbers({0.2, -0.3});
  Tensor direction = numbers({0.6, 0.8});
  Tensor places = numbers({-1.0, 0.2, 0.9});
  Tensor weights = numbers({0.3, 0.5, 0.2});
  double std = 0.25;

  GaussianMixture mixture() const {
    return {origin + places.unsqueeze(1) * direction, weights, torch::full({3}, std, torch::kFloat64)};
  }

  // F_σ(y) = Σ_k w_k Φ((y − y_k)/√(s² + σ²)).
  Tensor distribution(const Tensor& y, const Tensor& sigma) const {
    const Tensor scale = (std * std + sigma.square()).sqrt().unsqueeze(1);
    return torch::mv(0.5 * torch::erfc((places - y.unsqueeze(1)) / scale / std::sqrt(2.0)), weights);
  }

  // F_ε⁻¹(F_σ(y)) by bisection.
  Tensor carried(const Tensor& y, const Tensor& sigma) const {
    const Tensor quantile = distribution(y, sigma);
    Tensor low = torch::full_like(y, -10);
    Tensor high = torch::full_like(y, 10);
    for (int i = 0; i < 60; ++i) {
      const Tensor middle = (low + high) / 2;
      const Tensor below = distribution(middle, torch::full_like(y, kSigmaMin)) < quantile;
      low = torch::where(below, middle, low);
      high = torch::where(below, high, middle);
    }
    return (low + high) / 2;
  }
};

// In one dimension the flow keeps the order of points, so it carries quantiles to quantiles; across the line
// the mixture is one Gaussian.
TEST(GaussianMixture, OfMeansOnALineIsTheClosedFormAlongAndAcrossIt) {
  const Line line;
  const Tensor normal_direction = numbers({-0.8, 0.6});
  const Tensor sigma = numbers({80.0, 80.0, 10.0, 1.0, 0.3});
  const Tensor along = numbers({-60.0, 25.0, 3.0, -0.4, 0.7});
  const Tensor across = numbers({30.0, -110.0, 4.0, 1.2, -0.1});
  const Tensor x = line.origin + along.unsqueeze(1) * line.direction + across.unsqueeze(1) * normal_direction;
  const double s2 = line.std * line.std;
  const Tensor shrunk = across * ((s2 + kSigmaMin * kSigmaMin) / (s2 + sigma.square())).sqrt();
  const Tensor expected = line.origin + line.carried(along, sigma).unsqueeze(1) * line.direction +
                          shrunk.unsqueeze(1) * normal_direction;
  EXPECT_LT(largest_difference(consistency_of(line.mixture(), kSigmaMin)(x, sigma), expected), 1e-9);
}

TEST(GaussianMixture, TheConsistencyFunctionIsConstantAlongTrajectories) {
  const TrajectoryPoints start;
  const Denoiser f = consistency_of(plane(), kSigmaMin);
  const Tensor end = f(start.x, start.sigma);
  for (const double level : {20.0, 1.0, 0.2, kSigmaMin}) {
    const Tensor sigma = torch::full_like(start.sigma, level);
    EXPECT_LT(largest_difference(f(flow_of(plane())(start.x, start.sigma, sigma), sigma), end), 1e-9)
        << level;
  }
  const Tensor back = flow_of(plane())(end, torch::full_like(start.sigma, kSigmaMin), start.sigma);
  EXPECT_LT(largest_difference(back, start.x), 1e-6);  // the way up amplifies by σ_max/s
}

// Tweedie: D(x, σ) = x + σ² ∇ log p_σ(x), the gradient by autograd.
TEST(GaussianMixture, TheDenoiserIsTheScoreOfTheDensity) {
  const GaussianMixture data = plane();
  const Tensor sigma = numbers({0.7, 0.1, 5.0});
  const Tensor x =
      torch::tensor({{0.1, 0.2}, {-0.9, 0.3}, {3.0, -4.0}}, torch::kFloat64).requires_grad_(true);
  const Tensor variance = data.stds.square() + sigma.square().unsqueeze(1);
  const Tensor distance2 = (x.unsqueeze(1) - data.means).square().sum(2);
  (data.weights.log() - variance.log() - distance2 / (2 * variance)).logsumexp(1).sum().backward();
  const Tensor expected = x.detach() + sigma.square().unsqueeze(1) * x.grad();
  EXPECT_LT(largest_difference(denoiser_of(data)(x.detach(), sigma), expected), 1e-12);
}

// E[x₀ | x] by the trapezoidal rule over the plane, which converges faster than any power of the step.
TEST(GaussianMixture, TheDenoiserIsThePosteriorMean) {
  const GaussianMixture data = plane();
  const double sigma = 0.6;
  const Tensor x = numbers({0.2, -0.1});
  const Tensor axis = torch::linspace(-3, 3, 301, torch::kFloat64);
  const Tensor x0 = torch::cartesian_prod({axis, axis});
  Tensor density = torch::zeros({x0.size(0)}, torch::kFloat64);
  for (int64_t k = 0; k < 3; ++k) {
    const Tensor variance = data.stds[k].square();
    density += data.weights[k] / variance * (-(x0 - data.means[k]).square().sum(1) / (2 * variance)).exp();
  }
  density *= (-(x0 - x).square().sum(1) / (2 * sigma * sigma)).exp();
  const Tensor expected = torch::mv(x0.t(), density) / density.sum();
  const Tensor denoised = denoiser_of(data)(x.unsqueeze(0), numbers({sigma}));
  EXPECT_LT(largest_difference(denoised.squeeze(0), expected), 1e-9);
}

TEST(GaussianMixture, TakesImagesInTheirOwnDtype) {
  const TrajectoryPoints points;
  const Tensor images = points.x.to(torch::kFloat32).view({64, 2, 1, 1});
  const Tensor denoised = denoiser_of(plane())(images, points.sigma.to(torch::kFloat32));
  EXPECT_EQ(denoised.sizes(), images.sizes());
  EXPECT_EQ(denoised.dtype(), torch::kFloat32);
  EXPECT_LT(largest_difference(denoised.flatten(1), denoiser_of(plane())(points.x, points.sigma)), 1e-5);
}

TEST(GaussianMixture, ResponsibilitiesSayWhereAPointBelongs) {
  const Tensor share = responsibilities(plane(), plane().means, torch::full({3}, kSigmaMin, torch::kFloat64));
  EXPECT_LT(largest_difference(share, torch::eye(3, torch::kFloat64)), 0.02);
  const Tensor far = responsibilities(plane(), plane().means, torch::full({3}, 1e4, torch::kFloat64));
  EXPECT_LT(largest_difference(far, plane().weights.expand({3, 3})), 1e-6);
}

TEST(GaussianMixture, SamplesHaveItsMomentsAndShares) {
  constexpr int64_t kCount = 100'000;
  for (const double sigma : {0.0, 2.0}) {
    const Tensor x = draw(plane(), sigma, 5, 3, sample_range(0, kCount));
    const Tensor centred = x - mean_of(plane());
    EXPECT_LT(test::largest(centred.mean(0) / (centred.std(0) / std::sqrt(kCount))), 4);
    const Tensor covariance = centred.t().mm(centred) / kCount;
    EXPECT_LT(test::relative_difference(covariance, covariance_of(plane(), sigma)), 0.02);
  }
  const Tensor x = draw(plane(), 0, 5, 3, sample_range(0, kCount));
  const Tensor near_first = ((x - plane().means[0]).norm(2, {1}) < 0.5).to(torch::kFloat64).mean();
  EXPECT_NEAR(near_first.item<double>(), 0.3, 0.01);
}

TEST(GaussianMixture, ASampleDependsOnItsIndexAlone) {
  const Tensor all = draw(plane(), 1, 5, 3, sample_range(0, 10));
  EXPECT_TRUE(torch::equal(draw(plane(), 1, 5, 3, {7, 2})[1], all[2]));
  EXPECT_FALSE(torch::equal(draw(plane(), 1, 5, 4, {2})[0], all[2]));
}

TEST(GaussianMixture, RefusesWhatIsNoMixture) {
  GaussianMixture data = plane();
  data.weights = numbers({0.3, 0.5, 0.3});
  EXPECT_THROW(denoiser_of(data), c10::Error);
  data = plane();
  data.stds = numbers({0.1, 0.0, 0.2});
  EXPECT_THROW(draw(data, 0, 1, 0, {0}), c10::Error);
  data = plane();
  data.stds = numbers({0.1, 0.2});
  EXPECT_THROW(consistency_of(data, kSigmaMin), c10::Error);
  EXPECT_THROW(denoiser_of(plane())(torch::zeros({4, 3}), torch::ones({4})), c10::Error);
  EXPECT_THROW(flow_of(plane())(torch::zeros({1, 2}), torch::ones({1}), torch::zeros({1})), c10::Error);
}

}  // namespace
}  // namespace cm
