#include "src/training/flow_map_losses.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cm/diffusion/gaussian_mixture.h"
#include "support/closeness.h"
#include "support/gaussian.h"
#include "support/random_batch.h"

namespace cm {
namespace {

using test::largest;
using test::largest_difference;

constexpr AdaptiveNorm kPlain{.power = 0};
const test::Gaussian kFlowData{torch::tensor({0.3, -0.5, 0.1}, torch::kFloat64), 0.7};

const Tensor kFrom = torch::tensor({0.9, 0.4, 0.7}, torch::kFloat64);
const Tensor kTo = torch::tensor({0.1, 0.3, 0.0}, torch::kFloat64);

std::vector<Path> paths() {
  return {{PathKind::linear}, {PathKind::trig, 0.5}};
}

// The mean velocity of the exact map, and at s = t its limit, the velocity.
MeanVelocity exact_u(const Path& path) {
  return [path](const Tensor& z, const Tensor& t, const Tensor& s) {
    const Tensor x = test::flow_of(kFlowData)(z / path.scale(t).unsqueeze(1), path.level(t), path.level(s));
    const Tensor end = path.scale(s).unsqueeze(1) * x;
    const Tensor span = (t - s).unsqueeze(1);
    return path.kind == PathKind::linear ? (z - end) / span : (span.cos() * z - end) / span.sin();
  };
}

VelocityField exact_flow(const Path& path) {
  return [path](const Tensor& z, const Tensor& t) {
    return path.velocity(test::denoiser_of(kFlowData), z, t.clamp_min(1e-6));
  };
}

PathPoint exact_point(const Path& path, uint64_t seed) {
  const Tensor z = test::random_points(3, 3, seed);
  return {z, kFrom, exact_flow(path)(z, kFrom)};
}

MeanVelocity scaled(const Tensor& by, const MeanVelocity& u) {
  return [=](const Tensor& z, const Tensor& t, const Tensor& s) { return by * u(z, t, s); };
}

TEST(FlowMapLosses, TheExactMapSolvesBothEquations) {
  for (const Path& path : paths()) {
    const PathPoint at = exact_point(path, 1);
    const MeanVelocity u = exact_u(path);
    EXPECT_LT(largest(eulerian_loss(path, u, at, kTo, kPlain)), 1e-20) << to_string(path.kind);
    EXPECT_LT(largest(lagrangian_loss(path, u, exact_flow(path), at, kTo, kPlain)), 1e-10);
    const MeanVelocity off = scaled(torch::tensor(1.1, torch::kFloat64), u);
    EXPECT_GT(eulerian_loss(path, off, at, kTo, kPlain).min().item<double>(), 1e-4);
    EXPECT_GT(lagrangian_loss(path, off, exact_flow(path), at, kTo, kPlain).min().item<double>(), 1e-4);
  }
}

// With the exact velocity MeanFlow's target v − (t − s) du/dt is the exact u (its Eq. 6).
TEST(FlowMapLosses, ThePaperFormOfMeanFlowIsTheLinearPaths) {
  const Path path{PathKind::linear};
  const PathPoint at = exact_point(path, 2);
  const MeanVelocity u = [](const Tensor& z, const Tensor& t, const Tensor& s) {
    return (2 * z).sin() * per_sample(t.cos() + s, z);
  };
  const double h = 1e-6;
  const auto shifted = [&](double by) { return u(at.z + by * at.velocity, at.t + by, kTo); };
  const Tensor target = at.velocity - (kFrom - kTo).unsqueeze(1) * (shifted(h) - shifted(-h)) / (2 * h);
  const Tensor expected = (u(at.z, at.t, kTo) - target).square().sum(1);
  EXPECT_LT(test::relative_difference(eulerian_loss(path, u, at, kTo, kPlain), expected), 1e-8);
  for (const double power : {0.75, 1.0}) {
    const AdaptiveNorm norm{.power = power, .epsilon = 0.01};
    EXPECT_LT(test::relative_difference(eulerian_loss(path, u, at, kTo, norm),
                                        expected / (expected + 0.01).pow(power)),
              1e-8);
  }
}

// The gradient is that of ‖u − sg u*‖²: nothing flows through the derivative, the moved point or the weight.
TEST(FlowMapLosses, TargetsAndWeightsAreHeldFixed) {
  for (const Path& path : paths()) {
    const PathPoint at = exact_point(path, 3);
    for (const bool eulerian : {true, false}) {
      const Tensor by = torch::tensor(1.3, torch::kFloat64).requires_grad_(true);
      const MeanVelocity u = scaled(by, exact_u(path));
      const AdaptiveNorm norm{.power = 0.5, .epsilon = 0.1};
      const auto loss_with = [&](const AdaptiveNorm& of) {
        return eulerian ? eulerian_loss(path, u, at, kTo, of)
                        : lagrangian_loss(path, u, exact_flow(path), at, kTo, of);
      };
      const Tensor plain = loss_with(kPlain).detach();
      loss_with(norm).sum().backward();
      // u = by · û: dL/dby = 2 ⟨g, û⟩ weight, and plain = ‖g‖²; of g only its norm is known here, so by hand:
      const MeanVelocity exact = exact_u(path);
      const Tensor u_hat = exact(at.z, at.t, kTo);
      const double h = 1e-6;
      Tensor g;
      if (eulerian) {
        const auto shifted = [&](double d) { return 1.3 * exact(at.z + d * at.velocity, at.t + d, kTo); };
        g = path.drift_of_start(at, 1.3 * u_hat, (shifted(h) - shifted(-h)) / (2 * h), kTo);
      } else {
        const auto shifted = [&](double d) { return 1.3 * exact(at.z, at.t, kTo + d); };
        const Tensor to = path.move(at.z, 1.3 * u_hat, at.t, kTo);
        g = path.drift_of_end(at, 1.3 * u_hat, (shifted(h) - shifted(-h)) / (2 * h), kTo) -
            exact_flow(path)(to, kTo);
      }
      EXPECT_LT(test::relative_difference(plain, g.square().sum(1)), 1e-4);
      const Tensor expected = (2 * (g * u_hat).sum(1) / (plain + 0.1).sqrt()).sum();
      EXPECT_NEAR(by.grad().item<double>() / expected.item<double>(), 1, 1e-4)
          << to_string(path.kind) << eulerian;
    }
  }
}

// The loss over α² tends to MeanFlow's as the steps shrink, to first order.
TEST(FlowMapLosses, AlphaFlowTendsToMeanFlow) {
  const Path path{PathKind::linear};
  const PathPoint at = exact_point(path, 4);
  const MeanVelocity u = scaled(torch::tensor(1.2, torch::kFloat64), exact_u(path));
  const Tensor limit = eulerian_loss(path, u, at, kTo, kPlain);
  const auto error = [&](double alpha) {
    const Tensor share = torch::full_like(kFrom, alpha);
    return largest_difference(alpha_flow_loss(u, at, kTo, share, kPlain) / std::pow(alpha, 3), limit);
  };
  EXPECT_NEAR(error(0.02) / error(0.01), 2, 0.1);
  EXPECT_LT(error(0.001), 0.02 * largest(limit));
}

TEST(FlowMapLosses, AlphaOneIsFlowMatchingToTheEnd) {
  const Path path{PathKind::linear};
  const PathPoint at = exact_point(path, 5);
  const MeanVelocity u = [](const Tensor& z, const Tensor& t, const Tensor& s) {
    return z * per_sample(t.cos() + s, z);
  };
  const Tensor expected = (u(at.z, at.t, kTo) - at.velocity).square().sum(1);
  const Tensor one = torch::ones_like(kFrom);
  EXPECT_LT(largest_difference(alpha_flow_loss(u, at, kTo, one, kPlain), expected), 1e-12);
}

// Two steps of the exact map are one of twice the length; of the shortest the velocity stands for the step.
TEST(FlowMapLosses, TwoShortcutsAreOne) {
  const Path path{PathKind::linear};
  const PathPoint at = exact_point(path, 6);
  const MeanVelocity u = exact_u(path);
  const Tensor d = torch::full_like(kFrom, 0.15);
  const Tensor target = shortcut_target(u, at.z, at.t, d, d, /*clip=*/1e9);
  EXPECT_LT(largest_difference(target, u(at.z, at.t, at.t - 2 * d)), 1e-12);
  EXPECT_LE(largest(shortcut_target(u, at.z, at.t, d, d, /*clip=*/0.1)), 0.1);
  std::vector<Tensor> told;
  const MeanVelocity recorded = [&](const Tensor& z, const Tensor& t, const Tensor& s) {
    told.push_back(t - s);
    return torch::zeros_like(z);
  };
  shortcut_target(recorded, at.z, at.t, d, torch::zeros_like(d), 1);
  EXPECT_EQ(told.size(), 2U);
  for (const Tensor& h : told) EXPECT_EQ(largest(h), 0);
}

// By hand of two groups of two numbers each, and 0 where both sets are the same. The authors' code lets no
// square of a distance be less than 1e-8, a sample's to itself neither.
TEST(FlowMapLosses, MomentsAreMatchedWithinAGroup) {
  const Tensor a = torch::tensor({{0.0}, {1.0}, {0.0}, {3.0}}, torch::kFloat64);
  const Tensor b = torch::tensor({{0.5}, {1.5}, {0.0}, {3.0}}, torch::kFloat64);
  const Tensor scale = torch::tensor({2.0, 2.0, 0.7, 0.7}, torch::kFloat64);
  const Tensor loss = moment_matching_loss(a, b, scale, 2);
  const auto k = [](double distance) { return std::exp(-2 * distance); };
  const double own = (2 * k(1e-4) + 2 * k(1)) / 4;
  const double cross = (k(0.5) + k(1.5) + k(0.5) + k(0.5)) / 4;
  EXPECT_NEAR(loss[0].item<double>(), 2 * own - 2 * cross, 1e-12);
  EXPECT_EQ(loss[1].item<double>(), loss[0].item<double>());
  EXPECT_NEAR(loss[2].item<double>(), 0, 1e-12);
  EXPECT_THROW(moment_matching_loss(a, b, scale, 3), c10::Error);
}

TEST(FlowMapLosses, MomentMatchingHasAGradientWhereSamplesMeet) {
  const Tensor a = torch::zeros({4, 2}, torch::kFloat64).requires_grad_(true);
  const Tensor b = torch::ones({4, 2}, torch::kFloat64);
  moment_matching_loss(a, b, torch::ones(4, torch::kFloat64), 4).sum().backward();
  EXPECT_TRUE(torch::isfinite(a.grad()).all().item<bool>());
  EXPECT_LT(a.grad().max().item<double>(), 0);  // towards b
}

}  // namespace
}  // namespace cm
