#include "src/training/scm_loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/closeness.h"
#include "support/gaussian.h"
#include "support/random_batch.h"

namespace cm {
namespace {

using test::largest_difference;

constexpr double kSigmaData = 0.5;
const Path kPath{PathKind::trig, kSigmaData};
const test::Gaussian kData{torch::tensor({0.3, -0.5, 0.1}, torch::kFloat64), 0.7};
const Tensor kTime = torch::tensor({0.05, 0.8, 1.5}, torch::kFloat64);

// r of every sample.
Tensor everywhere(double r) {
  return torch::full_like(kTime, r);
}

Tensor random_images(uint64_t seed) {
  return test::random_points(3, 3, seed);
}

Tensor arbitrary_network(const Tensor& y, const Tensor& t) {
  return (3 * y).sin() * per_sample((2 * t).cos(), y);
}

// F of the exact consistency function: (cos t · x_t − f)/(σ_d sin t).
Tensor exact_network(const Tensor& y, const Tensor& t) {
  const Tensor x_t = kSigmaData * y;
  const Tensor cos = per_sample(t.cos(), y);
  const Tensor f = test::consistency_of(kData, 0)(x_t / cos, kSigmaData * t.tan());
  return (cos * x_t - f) / (kSigmaData * per_sample(t.sin(), y));
}

PathPoint point_of(const Tensor& x_t) {
  return {x_t, kTime, kPath.velocity(test::denoiser_of(kData), x_t, kTime)};
}

TEST(ScmLoss, TheTangentOfTheExactConsistencyFunctionVanishes) {
  const PathPoint point = point_of(random_images(1));
  EXPECT_LT(test::largest(scm_tangent(exact_network, point, everywhere(1), kSigmaData).g), 1e-12);
  EXPECT_GT(test::largest(scm_tangent(exact_network, point, everywhere(0.5), kSigmaData).g), 1e-3);
  EXPECT_GT(test::largest(scm_tangent(arbitrary_network, point, everywhere(1), kSigmaData).g), 1e-3);
}

// For r = 1 the tangent is cos t · df/dt along the trajectory, here by central differences over the exact
// flow.
TEST(ScmLoss, TheTangentIsTheDerivativeAlongTheTrajectory) {
  const PathPoint point = point_of(random_images(1));
  const Denoiser f = precondition(Parameterization::trig, {}, 1, arbitrary_network);
  const auto f_at = [&](double shift) {
    const Tensor x = point.z / kTime.cos().unsqueeze(1);
    const Tensor sigma = kSigmaData * kTime.tan();
    const Tensor next = kSigmaData * (kTime + shift).tan();
    return f(test::flow_of(kData)(x, sigma, next), next);
  };
  const double h = 1e-5;
  const Tensor expected = kTime.cos().unsqueeze(1) * (f_at(h) - f_at(-h)) / (2 * h);
  const Tensor g = scm_tangent(arbitrary_network, point, everywhere(1), kSigmaData).g;
  EXPECT_LT(test::relative_difference(g, expected), 1e-7);
}

// Before the warm-up the network is pulled to the diffusion model's velocity alone.
TEST(ScmLoss, WithoutWarmupTheTangentIsThatOfADiffusionModel) {
  const PathPoint point = point_of(random_images(1));
  const Tensor residual = kSigmaData * arbitrary_network(point.z / kSigmaData, kTime) - point.velocity;
  const Tensor expected = -kTime.cos().square().unsqueeze(1) * residual;
  EXPECT_LT(largest_difference(scm_tangent(arbitrary_network, point, everywhere(0), kSigmaData).g, expected),
            1e-14);
}

TEST(ScmLoss, NormalizedTangentsAreShorterThanOne) {
  const Tensor g = torch::tensor({{3.0, 4.0}, {0.0, 0.0}, {3e6, 4e6}}, torch::kFloat64);
  const Tensor n = normalized_tangent(g, 0.1);
  const double rms = std::sqrt(12.5);
  EXPECT_NEAR(n[0][0].item<double>(), 3 / (rms + 0.1), 1e-12);
  EXPECT_EQ(test::largest(n[1]), 0);
  EXPECT_NEAR(n[2].square().mean().item<double>(), 1, 1e-6);
}

TEST(ScmLoss, TheGradientIsMinusTheWeightedTangent) {
  const Tensor output = random_images(1).requires_grad_(true);
  const Tensor w = torch::tensor({0.0, -1.0, 2.0}, torch::kFloat64).requires_grad_(true);
  const Tensor g = random_images(2);
  const Tensor loss = scm_loss(output, g, w);
  const Tensor square = g.square().mean(1);
  EXPECT_LT(largest_difference(loss.detach(), w.detach().exp() * square - w.detach()), 1e-14);
  loss.sum().backward();
  const Tensor factor = w.detach().exp();
  EXPECT_LT(largest_difference(output.grad(), -2 * factor.unsqueeze(1) * g / 3), 1e-14);
  // The weighting's own minimum: e^w L = 1.
  EXPECT_LT(largest_difference(w.grad(), factor * square - 1), 1e-14);
}

TEST(ScmLoss, TheOutputLearnsAndNoGradientReachesTheNetworkThroughTheTangent) {
  const Tensor parameter = torch::full({1}, 2, torch::kFloat64).requires_grad_(true);
  int evaluations = 0;
  const RawNetwork network = [&](const Tensor& y, const Tensor& t) {
    ++evaluations;
    return parameter * arbitrary_network(y, t);
  };
  const PathPoint point = point_of(random_images(1));
  const auto [output, g] = scm_tangent(network, point, everywhere(1), kSigmaData);
  EXPECT_EQ(evaluations, 1);
  EXPECT_FALSE(g.requires_grad());
  output.sum().backward();
  const Tensor slope = arbitrary_network(point.z / kSigmaData, kTime).sum();
  EXPECT_LT(largest_difference(parameter.grad()[0], slope), 1e-12);
}

}  // namespace
}  // namespace cm
