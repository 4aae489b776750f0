// Distilled on a mixture whose teacher is exact, a small network approaches the mixture's own consistency
// function, and the more so the finer the grid: the first claim of consistency distillation (CM Theorem 1).
// So it does in continuous time, where the grid's error is gone (CM Appendix B).
#include <gtest/gtest.h>

#include "cm/diffusion/distance.h"
#include "cm/diffusion/gaussian_mixture.h"
#include "cm/diffusion/preconditioning.h"
#include "cm/kernels/normal.h"
#include "cm/training/losses.h"
#include "cm/training/optimizer.h"
#include "src/training/continuous_losses.h"
#include "support/closeness.h"
#include "support/perceptron.h"
#include "training/two_clusters.h"

namespace cm {
namespace {

using test::kShortRange;
using test::two_clusters;

constexpr int64_t kTrainingSteps = 1'200;
constexpr int64_t kBatch = 256;

SigmaPair draw_pairs(const std::vector<double>& grid, uint32_t step) {
  const auto u = uniform({.seed = 9, .purpose = Purpose::sigma, .step = step}, sample_range(0, kBatch));
  const Tensor index = (u * static_cast<double>(grid.size() - 1)).floor().to(torch::kInt64);
  const Tensor levels = torch::tensor(grid, torch::kFloat32);
  return {levels.index_select(0, index + 1), levels.index_select(0, index)};
}

// One loss a sample of images x0 with noise z.
using StepLoss =
    std::function<Tensor(const Denoiser& student, const Tensor& x0, const Tensor& z, uint32_t step)>;

Denoiser trained(const StepLoss& losses) {
  const test::Perceptron network;
  const Denoiser student = precondition(Parameterization::skip, kShortRange, 1000, network);
  OptimizerOptions options;
  options.rule = OptimizerRule::adam;
  options.lr = 5e-3;
  options.decay = LearningRateDecay::cosine;
  Optimizer optimizer(options, network.parameters());
  for (uint32_t step = 0; step < kTrainingSteps; ++step) {
    const Tensor x0 = draw(two_clusters(), 0, 7, step, sample_range(0, kBatch)).to(torch::kFloat32);
    const Tensor z = normal({.seed = 8, .step = step}, sample_range(0, kBatch), {2});
    optimizer.zero_grad();
    losses(student, x0, z, step).mean().backward();
    optimizer.step(learning_rate(options, step, kTrainingSteps));
  }
  return student;
}

// CD with μ = 0 and Euler steps on a grid of n levels.
Denoiser distilled(int64_t n) {
  const PreviousPoint previous = teacher_step(Solver::euler, denoiser_of(two_clusters()));
  const DistanceFunction l2 = [](const Tensor& a, const Tensor& b) { return distance(Distance::l2, a, b); };
  const auto grid = karras_sigmas(kShortRange, n);
  return trained([&](const Denoiser& student, const Tensor& x0, const Tensor& z, uint32_t step) {
    return consistency_loss(student, student, previous, l2, x0, z, draw_pairs(grid, step),
                            torch::ones({kBatch}));
  });
}

// In continuous time, by the exact denoiser or, without a teacher, by the data.
enum class Teacher { exact, none };

Denoiser trained_in_continuous_time(Teacher teacher, bool stop_gradient) {
  return trained([=](const Denoiser& student, const Tensor& x0, const Tensor& z, uint32_t step) {
    const auto v = uniform({.seed = 9, .purpose = Purpose::sigma, .step = step}, sample_range(0, kBatch));
    const Tensor sigma = karras_level(kShortRange, v).to(torch::kFloat32);
    const Tensor x = x0 + per_sample(sigma, x0) * z;
    const TrajectoryPoint point = teacher == Teacher::exact
                                      ? on_trajectory_of(denoiser_of(two_clusters()), x, sigma)
                                      : TrajectoryPoint{x, sigma, z};
    const Tensor weight = karras_slope(kShortRange, sigma);
    if (!stop_gradient) return tangent_loss(student, point, euclidean_size(), weight);
    return stop_gradient_loss(student, point, euclidean_metric(), weight).loss;
  });
}

double root_mean_square_error(const Denoiser& f) {
  const torch::NoGradGuard guard;
  const Tensor x_T = draw(two_clusters(), kShortRange.max, 77, 0, sample_range(0, 1'000));
  const Tensor exact = consistency_of(two_clusters(), kShortRange.min)(
      x_T, torch::full({1'000}, kShortRange.max, torch::kFloat64));
  const Tensor learned = f(x_T.to(torch::kFloat32), torch::full({1'000}, kShortRange.max));
  return (learned - exact).square().mean().sqrt().item<double>();
}

TEST(DistillationTruths, TheStudentApproachesTheExactFunctionAsTheGridGrows) {
  const double coarse = root_mean_square_error(distilled(3));
  const double fine = root_mean_square_error(distilled(20));
  EXPECT_LT(fine, 0.6 * coarse);
  EXPECT_LT(fine, 0.2);  // the data's own standard deviation is 0.79
}

TEST(DistillationTruths, ContinuousTimeApproachesTheExactFunctionWithoutAGrid) {
  EXPECT_LT(root_mean_square_error(trained_in_continuous_time(Teacher::exact, /*stop_gradient=*/true)), 0.2);
  EXPECT_LT(root_mean_square_error(trained_in_continuous_time(Teacher::exact, /*stop_gradient=*/false)), 0.2);
  EXPECT_LT(root_mean_square_error(trained_in_continuous_time(Teacher::none, /*stop_gradient=*/true)), 0.25);
}

}  // namespace
}  // namespace cm
