// Distilled on a mixture whose teacher is exact, a small network approaches the mixture's own consistency
// function, and the more so the finer the grid: the first claim of consistency distillation (CM Theorem 1).
#include <gtest/gtest.h>

#include "cm/diffusion/distance.h"
#include "cm/diffusion/preconditioning.h"
#include "cm/nn/layers.h"
#include "cm/training/losses.h"
#include "cm/training/optimizer.h"
#include "support/closeness.h"
#include "support/gaussian.h"

namespace cm {
namespace {

constexpr SigmaOptions kSigma{.min = 0.02, .max = 10, .data = 1};
constexpr int64_t kSteps = 1'200;
constexpr int64_t kBatch = 256;

test::Mixture mixture() {
  return {torch::tensor({{-1.0, 0.4}, {0.8, -0.5}}, torch::kFloat64),
          torch::tensor({0.4, 0.6}, torch::kFloat64), 0.35};
}

// Three layers over (x, time).
class Perceptron {
 public:
  Tensor operator()(const Tensor& x, const Tensor& time) const {
    const Tensor input = torch::cat({x, time.unsqueeze(1) / 500}, 1);
    const Tensor hidden = torch::silu(second_->forward(torch::silu(first_->forward(input))));
    return third_->forward(hidden);
  }

  std::vector<Tensor> parameters() const {
    return {first_->weight, first_->bias, second_->weight, second_->bias, third_->weight, third_->bias};
  }

 private:
  Initializer initializer_{3};
  Linear first_{initializer_, 3, 64};
  Linear second_{initializer_, 64, 64};
  Linear third_{initializer_, 64, 2};
};

SigmaPair draw_pairs(const std::vector<double>& grid, uint32_t step) {
  const auto u = uniform({.seed = 9, .purpose = Purpose::sigma, .step = step}, sample_range(0, kBatch));
  const Tensor index = (u * static_cast<double>(grid.size() - 1)).floor().to(torch::kInt64);
  const Tensor levels = torch::tensor(grid, torch::kFloat32);
  return {levels.index_select(0, index + 1), levels.index_select(0, index)};
}

// CD with μ = 0 and Euler steps on a grid of n levels.
Denoiser distilled(int64_t n) {
  const Perceptron network;
  const Denoiser student = precondition(Parameterization::skip, kSigma, 1000, network);
  const PreviousPoint previous = teacher_step(Solver::euler, test::denoiser_of(mixture()));
  const DistanceFunction l2 = [](const Tensor& a, const Tensor& b) { return distance(Distance::l2, a, b); };
  const auto grid = karras_sigmas(kSigma, n);
  OptimizerOptions options;
  options.rule = OptimizerRule::adam;
  options.lr = 5e-3;
  options.decay = LearningRateDecay::cosine;
  Optimizer optimizer(options, network.parameters());
  for (uint32_t step = 0; step < kSteps; ++step) {
    const Tensor x0 = test::draw(mixture(), 0, 1000 + step, kBatch).to(torch::kFloat32);
    const Tensor z = normal({.seed = 8, .step = step}, sample_range(0, kBatch), {2});
    const Tensor losses = consistency_loss(student, student, previous, l2, x0, z, draw_pairs(grid, step),
                                           torch::ones({kBatch}));
    optimizer.zero_grad();
    losses.mean().backward();
    optimizer.step(learning_rate(options, step, kSteps));
  }
  return student;
}

double root_mean_square_error(const Denoiser& f) {
  const torch::NoGradGuard guard;
  const Tensor x_T = test::draw(mixture(), kSigma.max, 77, 1'000);
  const Tensor exact = test::consistency_of(mixture(), kSigma.min, 400)(
      x_T, torch::full({1'000}, kSigma.max, torch::kFloat64));
  const Tensor learned = f(x_T.to(torch::kFloat32), torch::full({1'000}, kSigma.max));
  return (learned - exact).square().mean().sqrt().item<double>();
}

TEST(DistillationTruths, TheStudentApproachesTheExactFunctionAsTheGridGrows) {
  const double coarse = root_mean_square_error(distilled(3));
  const double fine = root_mean_square_error(distilled(20));
  EXPECT_LT(fine, 0.6 * coarse);
  EXPECT_LT(fine, 0.2);  // the data's own standard deviation is 0.79
}

}  // namespace
}  // namespace cm
