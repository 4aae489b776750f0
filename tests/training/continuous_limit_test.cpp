// The discrete losses of CD on a grid of N levels become the losses in continuous time as N grows, to the
// last constant (CM Theorems 3 to 6), with weight dσ/dv; and training has the gradient of distillation by the
// exact denoiser in expectation.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "cm/diffusion/gaussian_mixture.h"
#include "cm/diffusion/preconditioning.h"
#include "cm/kernels/normal.h"
#include "cm/nn/perceptron.h"
#include "cm/training/cd_objective.h"
#include "cm/training/continuous_objective.h"
#include "cm/training/distance_function.h"
#include "cm/training/formula_model.h"
#include "src/training/continuous_losses.h"
#include "support/closeness.h"
#include "support/perceptron.h"
#include "training/two_clusters.h"

namespace cm {
namespace {

using test::kShortRange;
using test::two_clusters;

constexpr int64_t kSamples = 512;

// The network whose gradients are compared, in double.
struct Student {
  test::Perceptron network{torch::kFloat64};
  Denoiser f = precondition(Parameterization::skip, kShortRange, 1000, network);

  // The gradient of the mean of `losses` in all parameters, as one vector.
  Tensor gradient_of(const Tensor& losses) const {
    std::vector<Tensor> parts;
    for (const auto& slope : torch::autograd::grad({losses.mean()}, network.parameters())) {
      parts.push_back(slope.flatten());
    }
    return torch::cat(parts);
  }
};

// Images, noise and levels σ_n < σ_{n+1} of a grid of N that do not change with N but by the rounding of n.
struct LimitDraws {
  explicit LimitDraws(int64_t n, uint64_t seed = 5, int64_t count = kSamples) {
    const Tensor u = uniform({.seed = seed + 2, .purpose = Purpose::sigma}, sample_range(0, count));
    const auto steps = static_cast<double>(n - 1);
    const Tensor below = (u * steps).floor() / steps;
    pair = {karras_level(kShortRange, below + 1 / steps), karras_level(kShortRange, below)};
    x0 = draw(two_clusters(), 0, seed, 0, sample_range(0, count));
    noise = normal({.seed = seed + 1}, sample_range(0, count), {2}).to(torch::kFloat64);
    x_t = x0 + per_sample(pair.t, x0) * noise;
    point = on_trajectory_of(denoiser_of(two_clusters()), x_t, pair.t);
    slope = karras_slope(kShortRange, pair.t);
  }

  // One loss a sample of the discrete objective, θ⁻ = θ.
  Tensor discrete(const Student& student, const DistanceFunction& distance) const {
    return consistency_loss(student.f, student.f, teacher_step(Solver::heun, denoiser_of(two_clusters())),
                            distance, x0, noise, pair, torch::ones_like(pair.t));
  }

  SigmaPair pair;
  Tensor x0;
  Tensor noise;
  Tensor x_t;
  TrajectoryPoint point;
  Tensor slope;  // dσ/dv
};

double cosine(const Tensor& a, const Tensor& b) {
  return (a.dot(b) / (a.norm() * b.norm())).item<double>();
}

Tensor squared(const Tensor& a, const Tensor& b) {
  return (a - b).square().sum(1);
}

// H = diag(18 b⁴) at equal arguments.
Tensor cubic(const Tensor& a, const Tensor& b) {
  return squared(a.pow(3), b.pow(3));
}

// (N − 1) ∇L_N and ∇E[w f sg(G u)].
struct Gradients {
  Tensor discrete;
  Tensor continuous;
};

Gradients gradients(int64_t n, const DistanceFunction& distance, const TangentMetric& metric,
                    bool limit_weight = true) {
  const Student student;
  const LimitDraws draws(n);
  const Tensor weight = limit_weight ? draws.slope : torch::ones_like(draws.slope);
  return {static_cast<double>(n - 1) * student.gradient_of(draws.discrete(student, distance)),
          student.gradient_of(stop_gradient_loss(student.f, draws.point, metric, weight).loss)};
}

TEST(ContinuousLimit, TheStopGradientFormIsHalfTheDiscreteGradientOfSummedSquares) {
  const auto error = [](int64_t n) {
    const auto [discrete, continuous] = gradients(n, squared, euclidean_metric());
    return test::relative_difference(discrete, 2 * continuous);
  };
  const double coarse = error(200);
  const double fine = error(20'000);
  EXPECT_LT(fine, 2e-3);
  EXPECT_NEAR(coarse / fine, 100, 30);  // first order in 1/N

  const auto [discrete, continuous] = gradients(20'000, squared, euclidean_metric());
  EXPECT_GT(cosine(discrete, continuous), 0.999999);
  EXPECT_NEAR((discrete.norm() / continuous.norm()).item<double>(), 2, 2e-3);
}

TEST(ContinuousLimit, AnotherWeightHasAnotherDirection) {
  const auto [discrete, continuous] = gradients(20'000, squared, euclidean_metric(), /*limit_weight=*/false);
  EXPECT_LT(cosine(discrete, continuous), 0.99);
}

TEST(ContinuousLimit, TheHessianTakesTheFactorOfTheDistanceIn) {
  const auto [discrete, continuous] = gradients(20'000, cubic, hessian_metric(cubic));
  EXPECT_LT(test::relative_difference(discrete, continuous), 2e-3);
}

// Without stop-gradient the losses themselves have a limit: N − 1 norms, or (N − 1)² squares.
TEST(ContinuousLimit, TheLossesThroughTheTangentAreLimitsOfNormsAndSquares) {
  const int64_t n = 200'000;
  const auto steps = static_cast<double>(n - 1);
  const Student student;
  const LimitDraws draws(n);
  const auto discrete = [&](const DistanceFunction& distance) {
    return draws.discrete(student, distance).detach();
  };
  const auto size = [&](const TangentSize& of) {
    return tangent_loss(student.f, draws.point, of, torch::ones_like(draws.slope)).detach();
  };
  const Tensor norm = discrete([](const Tensor& a, const Tensor& b) { return squared(a, b).sqrt(); });
  EXPECT_LT(test::relative_difference(steps * norm, draws.slope * size(euclidean_size())), 1e-3);
  const Tensor mean = discrete([](const Tensor& a, const Tensor& b) { return (a - b).abs().mean(1); });
  EXPECT_LT(test::relative_difference(steps * mean, draws.slope * size(mean_absolute_size())), 1e-3);
  const Tensor square = size(quadratic_size(hessian_metric(cubic)));
  EXPECT_LT(test::relative_difference(steps * steps * discrete(cubic), draws.slope.square() * square / 2),
            1e-3);
}

// Theorem 6: with x₀ in the denoiser's place each sample pulls elsewhere, and their mean the same way.
TEST(ContinuousLimit, TrainingHasTheExpectedGradientOfDistillation) {
  constexpr int64_t kBatches = 16;
  const Student student;
  std::vector<Tensor> differences;
  Tensor distillation;
  for (int64_t i = 0; i < kBatches; ++i) {
    const LimitDraws draws(20'000, static_cast<uint64_t>(100 + 3 * i), 2'048);
    const auto gradient = [&](const TrajectoryPoint& point) {
      return student.gradient_of(stop_gradient_loss(student.f, point, euclidean_metric(), draws.slope).loss);
    };
    const Tensor by_teacher = gradient(draws.point);
    const Tensor by_data = gradient({draws.point.x, draws.point.sigma, draws.noise});
    differences.push_back(by_data - by_teacher);
    distillation = i == 0 ? by_teacher : distillation + by_teacher;
  }
  const Tensor stacked = torch::stack(differences);
  const Tensor mean = stacked.mean(0);
  // The expected square of a mean without bias is the variance over the number of batches.
  const auto variance = (stacked - mean).square().sum().item<double>() / (kBatches - 1) / kBatches;
  EXPECT_LT(mean.square().sum().item<double>(), 3 * variance);
  EXPECT_GT(mean.square().sum().item<double>(), 0);
  EXPECT_LT(std::sqrt(variance),
            0.2 * (distillation / kBatches).norm().item<double>());  // and it means something
}

// The same of the objectives as they are trained: their own draws, levels, weight and fp32. `l2` is the mean
// of two squares, half their sum, so that the factor of 2 is gone.
TEST(ContinuousLimit, TheObjectivesOfAnExactTeacherHaveTheSameGradient) {
  constexpr int64_t kLevels = 2'001;
  ModelOptions options;
  options.image = {.channels = 2, .size = 1, .classes = 0};
  options.sigma = kShortRange;
  const NetworkMaker maker = [&](std::optional<uint64_t> seed) {
    return std::make_shared<Perceptron>(PerceptronOptions{.width = 32, .hidden_layers = 2}, options.image,
                                        seed);
  };
  const Model student(options, torch::kCPU, maker, 4);
  ModelOptions of_teacher = options;
  of_teacher.parameterization = Parameterization::edm;
  Model teacher = formula_model(denoiser_of(two_clusters()), of_teacher, torch::kCPU);
  const TrainingBatch batch{
      .x = draw(two_clusters(), 0, 5, 0, sample_range(0, kSamples)).to(torch::kFloat32).view({-1, 2, 1, 1}),
      .labels = {},
      .step = 0,
      .samples = sample_range(0, kSamples)};
  const auto gradient = [&](const Objective& objective) {
    std::vector<Tensor> parts;
    for (const auto& slope : torch::autograd::grad({objective.losses(batch).mean()}, student.parameters())) {
      parts.push_back(slope.flatten());
    }
    return torch::cat(parts).to(torch::kFloat64);
  };
  const Tensor discrete =
      static_cast<double>(kLevels - 1) *
      gradient(objective_of(CdOptions{.n = kLevels, .mu = 0}, {.student = student,
                                                               .target = &student,
                                                               .teacher = &teacher,
                                                               .distance = make_distance({}),
                                                               .seed = 6}));
  const Tensor continuous = gradient(
      objective_of(ContinuousCdOptions{{.weight = ContinuousWeight::limit}},
                   {.student = student, .teacher = &teacher, .distance = make_distance({}), .seed = 6}));
  EXPECT_GT(cosine(discrete, continuous), 0.9999);
  EXPECT_NEAR((discrete.norm() / continuous.norm()).item<double>(), 1, 0.01);
}

}  // namespace
}  // namespace cm
