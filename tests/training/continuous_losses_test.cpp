#include "src/training/continuous_losses.h"

#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>
#include <cmath>

#include "cm/base/random.h"
#include "cm/diffusion/distance.h"
#include "support/closeness.h"
#include "support/gaussian.h"
#include "training/loss_inputs.h"

namespace cm {
namespace {

using test::largest;
using test::largest_difference;
using test::relative_difference;
using test::three_levels;
using test::three_points;

constexpr double kHuber = 0.25;

DistanceFunction named(Distance kind) {
  return [kind](const Tensor& a, const Tensor& b) { return distance(kind, a, b, kHuber); };
}

// Σ (a³ − b³)², whose Hessian at equal arguments depends on them: diag(18 a⁴).
Tensor cubic_distance(const Tensor& a, const Tensor& b) {
  return (a.pow(3) - b.pow(3)).square().flatten(1).sum(1);
}

TEST(ContinuousLosses, TheHessianOfAMeanSquare) {
  const Tensor u = three_points(2);
  EXPECT_LT(relative_difference(hessian_metric(named(Distance::l2))(three_points(1), u), 2.0 / 2 * u), 1e-14);
}

// √(‖a − b‖² + c²) − c ≈ ‖a − b‖²/(2c).
TEST(ContinuousLosses, TheHessianOfPseudoHuber) {
  const Tensor u = three_points(2);
  const double c = kHuber * std::sqrt(2.0);
  EXPECT_LT(relative_difference(hessian_metric(named(Distance::pseudo_huber))(three_points(1), u), u / c),
            1e-14);
}

TEST(ContinuousLosses, TheHessianOfAQuadraticForm) {
  const Tensor matrix = torch::tensor({{2.0, 0.5}, {-0.25, 1.0}}, torch::kFloat64);
  const DistanceFunction d = [&](const Tensor& a, const Tensor& b) {
    return ((a - b).mm(matrix) * (a - b)).sum(1);
  };
  const Tensor u = three_points(2);
  const Tensor product = hessian_metric(d)(three_points(1), u);
  EXPECT_LT(relative_difference(product, u.mm(matrix + matrix.t())), 1e-14);
  EXPECT_FALSE(product.requires_grad());
}

TEST(ContinuousLosses, TheQuadraticFormIsDifferentiableInFAndU) {
  const Tensor f = three_points(1).requires_grad_(true);
  const Tensor u = three_points(2).requires_grad_(true);
  const Tensor size = quadratic_size(hessian_metric(cubic_distance))(f, u);
  EXPECT_LT(relative_difference(size, (18 * f.pow(4) * u.square()).sum(1)), 1e-13);
  const auto slopes = torch::autograd::grad({size.sum()}, {f, u});
  EXPECT_LT(relative_difference(slopes[0], 72 * f.pow(3) * u.square()), 1e-13);
  EXPECT_LT(relative_difference(slopes[1], 36 * f.pow(4) * u), 1e-13);
}

TEST(ContinuousLosses, TheExactFunctionDoesNotChangeAlongTrajectories) {
  const test::Gaussian data{torch::tensor({0.3, -0.8}, torch::kFloat64), 0.5};
  const Tensor sigma = three_levels(0.01, 1, 80);
  const Tensor x = three_points(1) + per_sample(sigma, three_points(2)) * three_points(2);
  const Denoiser f = test::consistency_of(data, 0.002);
  const Tensor one = torch::ones_like(sigma);
  const TrajectoryPoint point = on_trajectory_of(test::denoiser_of(data), x, sigma);
  EXPECT_LT(largest(stop_gradient_loss(f, point, euclidean_metric(), one).u), 1e-13);
  EXPECT_LT(largest(tangent_loss(f, point, euclidean_size(), one)), 1e-13);
  EXPECT_LT(largest(tangent_loss(f, point, mean_absolute_size(), one)), 1e-13);
  EXPECT_LT(largest(tangent_loss(f, point, quadratic_size(hessian_metric(cubic_distance)), one)), 1e-25);

  const test::Gaussian other{data.mean, 0.6};
  const TrajectoryPoint wrong = on_trajectory_of(test::denoiser_of(other), x, sigma);
  EXPECT_GT(tangent_loss(f, wrong, euclidean_size(), one).max().item<double>(), 0.01);
}

// f = a x and a teacher D = c x: u = a (1 − c) x/σ.
struct Scaled {
  Tensor a = torch::full({}, 0.5, torch::kFloat64).requires_grad_(true);
  Tensor c = torch::full({}, 0.25, torch::kFloat64).requires_grad_(true);
  Denoiser f = [this](const Tensor& at, const Tensor&) { return a * at; };
  Denoiser teacher = [this](const Tensor& at, const Tensor&) { return c * at; };
  Tensor x = three_points(1);
  Tensor sigma = three_levels(0.5, 3, 80);
  Tensor weights = three_levels(1, 2, 3);
  Tensor direction = 0.75 * x / sigma.unsqueeze(1);
  TrajectoryPoint point = on_trajectory_of(teacher, x, sigma);
};

TEST(ContinuousLosses, TheStopGradientFormPullsByUAlone) {
  const Scaled by_hand;
  const auto [loss, u] = stop_gradient_loss(by_hand.f, by_hand.point, euclidean_metric(), by_hand.weights);
  EXPECT_FALSE(u.requires_grad());
  EXPECT_LT(relative_difference(u, 0.5 * by_hand.direction), 1e-14);
  loss.sum().backward();
  EXPECT_FALSE(by_hand.c.grad().defined());
  const Tensor expected = (by_hand.weights * (by_hand.x * 0.5 * by_hand.direction).sum(1)).sum();
  EXPECT_LT(relative_difference(by_hand.a.grad(), expected), 1e-14);
}

TEST(ContinuousLosses, TheOtherFormLearnsThroughU) {
  const auto slope_and_expected = [](const TangentSize& size, const auto& size_at_one) {
    const Scaled by_hand;
    tangent_loss(by_hand.f, by_hand.point, size, by_hand.weights).sum().backward();
    EXPECT_FALSE(by_hand.c.grad().defined());
    return relative_difference(by_hand.a.grad(), (by_hand.weights * size_at_one(by_hand.direction)).sum());
  };
  // u is linear in a, so its norms' slope is that of a = 1; the square's is 2 a of it.
  EXPECT_LT(slope_and_expected(euclidean_size(), [](const Tensor& u) { return u.square().sum(1).sqrt(); }),
            1e-13);
  EXPECT_LT(slope_and_expected(mean_absolute_size(), [](const Tensor& u) { return u.abs().mean(1); }), 1e-13);
  EXPECT_LT(slope_and_expected(quadratic_size(hessian_metric(named(Distance::l2))),
                               [](const Tensor& u) { return 2 * 0.5 * u.square().sum(1); }),
            1e-13);
}

// A norm has no derivative at 0; its subgradient 0 is what lets a trained student rest.
TEST(ContinuousLosses, NoSpeedHasNoGradient) {
  const Tensor a = torch::zeros({}, torch::kFloat64).requires_grad_(true);
  const Denoiser f = [&](const Tensor& x, const Tensor&) { return a * x; };
  const TrajectoryPoint point{three_points(1), three_levels(1, 2, 3), three_points(2)};
  tangent_loss(f, point, euclidean_size(), three_levels(1, 1, 1)).sum().backward();
  EXPECT_EQ(a.grad().item<double>(), 0);
}

}  // namespace
}  // namespace cm
