#include "cm/diffusion/path.h"

#include <gtest/gtest.h>

#include <cmath>

#include <numbers>

#include "cm/base/random.h"
#include "cm/diffusion/preconditioning.h"
#include "cm/diffusion/sampler.h"
#include "cm/kernels/normal.h"
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

// Both paths, at times inside of them.
struct Case {
  Path path;
  Tensor t;
  Tensor s;
};

std::vector<Case> cases() {
  const auto times = [](const std::vector<double>& values) { return torch::tensor(values, torch::kFloat64); };
  return {{{PathKind::linear}, times({0.02, 0.6, 0.97}), times({0.01, 0.6, 0.1})},
          {{PathKind::trig, kSigmaData}, kTime, times({0.002, 0.8, 0.3})}};
}

Tensor columns(const Tensor& values) {
  return values.unsqueeze(1);
}

// The trajectory's point at t + shift, on the path, through z at t.
Tensor exact_at(const Path& path, const Tensor& z, const Tensor& t, const Tensor& s) {
  const Tensor x = test::flow_of(kGaussian)(z / columns(path.scale(t)), path.level(t), path.level(s));
  return columns(path.scale(s)) * x;
}

// u of the exact flow map, for s < t.
Tensor exact_mean_velocity(const Path& path, const Tensor& z, const Tensor& t, const Tensor& s) {
  const Tensor end = exact_at(path, z, t, s);
  const Tensor span = columns(t - s);
  return path.kind == PathKind::linear ? (z - end) / span : (span.cos() * z - end) / span.sin();
}

TEST(Path, TimesAreThoseOfNoiseLevels) {
  const Tensor sigma = torch::tensor({0.0, 0.5, 0.5 * std::tan(1.1)}, torch::kFloat64);
  const Tensor angles = torch::tensor({0.0, std::numbers::pi / 4, 1.1}, torch::kFloat64);
  EXPECT_LT(largest_difference(Path{PathKind::trig, kSigmaData}.time(sigma), angles), 1e-15);
  const Tensor shares = torch::tensor({0.0, 1.0 / 3}, torch::kFloat64);
  EXPECT_LT(largest_difference(Path{PathKind::linear}.time(sigma.slice(0, 0, 2)), shares), 1e-15);
  for (const auto& [path, t, s] : cases()) {
    EXPECT_LT(largest_difference(path.time(path.level(t)), t), 1e-14) << to_string(path.kind);
  }
}

TEST(Path, PointsAreThoseOfEdmScaledAndTheirVelocityIsTheirDerivative) {
  const Tensor x = random(1);
  const Tensor e = random(2);
  for (const auto& [path, t, s] : cases()) {
    const PathPoint at = path.between(x, e, t);
    const Tensor edm = x + columns(path.level(t)) * e;
    EXPECT_LT(largest_difference(at.z, columns(path.scale(t)) * edm), 1e-13) << to_string(path.kind);
    const double h = 1e-6;
    const Tensor slope = (path.between(x, e, t + h).z - path.between(x, e, t - h).z) / (2 * h);
    EXPECT_LT(largest_difference(at.velocity, slope), 1e-8) << to_string(path.kind);
  }
}

TEST(Path, TheVelocityOfADenoiserIsThatOfTheFlow) {
  const Tensor z = random(3);
  for (const auto& [path, t, s] : cases()) {
    const double h = 1e-6;
    const Tensor slope = (exact_at(path, z, t, t + h) - exact_at(path, z, t, t - h)) / (2 * h);
    EXPECT_LT(test::relative_difference(path.velocity(test::denoiser_of(kGaussian), z, t), slope), 1e-7)
        << to_string(path.kind);
  }
}

TEST(Path, TheExactMeanVelocityMakesTheExactFlowMap) {
  const Tensor x = random(4);
  for (const auto& [path, t, s] : cases()) {
    const FlowMap map = flow_of(path, [&, p = path](const Tensor& z, const Tensor& from, const Tensor& to) {
      return torch::where(columns(from == to), 0 * z, exact_mean_velocity(p, z, from, to));
    });
    const Tensor expected = test::flow_of(kGaussian)(x, path.level(t), path.level(s));
    EXPECT_LT(test::relative_difference(map(x, path.level(t), path.level(s)), expected), 1e-12)
        << to_string(path.kind);
  }
}

// The two equations of a flow map: its start may move along the trajectory, and its end moves along it.
TEST(Path, TheExactMeanVelocitySolvesBothEquations) {
  const Tensor z = random(5);
  const Denoiser denoiser = test::denoiser_of(kGaussian);
  for (auto& [path, t, s] : cases()) {
    s = 0.5 * t;
    const PathPoint at{z, t, path.velocity(denoiser, z, t)};
    const double h = 1e-5;
    const auto u_from = [&, &p = path, &from = t, &to = s](double shift) {
      return exact_mean_velocity(p, exact_at(p, z, from, from + shift), from + shift, to);
    };
    const auto u_to = [&, &p = path, &from = t, &to = s](double shift) {
      return exact_mean_velocity(p, z, from, to + shift);
    };
    const Tensor u = u_from(0);
    const Tensor du_dt = (u_from(h) - u_from(-h)) / (2 * h);
    EXPECT_LT(test::largest(path.drift_of_start(at, u, du_dt, s)), 1e-7) << to_string(path.kind);
    const Tensor du_ds = (u_to(h) - u_to(-h)) / (2 * h);
    const Tensor at_end = path.velocity(denoiser, path.move(z, u, t, s), s);
    EXPECT_LT(largest_difference(path.drift_of_end(at, u, du_ds, s), at_end), 1e-7) << to_string(path.kind);
    // And no other does.
    EXPECT_GT(test::largest(path.drift_of_start(at, 1.1 * u, du_dt, s)), 1e-2);
    EXPECT_GT(largest_difference(path.drift_of_end(at, 1.1 * u, du_ds, s), at_end), 1e-2);
  }
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

// The network of a diffusion model on a path says the velocity.
TEST(Path, TheVelocityOfItsOwnDenoiserIsTheNetworks) {
  const Tensor z = random(2);
  for (const auto& [path, t, s] : cases()) {
    const bool trig = path.kind == PathKind::trig;
    const Denoiser own =
        precondition(trig ? Parameterization::trig_diffusion : Parameterization::linear_diffusion, {}, 1,
                     arbitrary_trig_network);
    const double d = trig ? kSigmaData : 1;
    EXPECT_LT(largest_difference(path.velocity(own, z, t), d * arbitrary_trig_network(z / d, t)), 1e-11)
        << to_string(path.kind);
  }
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
