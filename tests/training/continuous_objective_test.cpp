#include "cm/training/continuous_objective.h"
#include "cm/kernels/normal.h"

#include <gmock/gmock.h>

#include <cmath>

#include "support/closeness.h"
#include "support/message_of.h"
#include "support/synthetic_lpips.h"
#include "support/tiny_run.h"
#include "training/loss_inputs.h"

namespace cm {
namespace {

using test::kL2;
using test::relative_difference;
using testing::ElementsAre;
using testing::HasSubstr;

TrainingBatch batch_of(int64_t size) {
  return test::training_batch(test::tiny_batch(3, size), /*step=*/3);
}

// A student and a teacher.
struct Models {
  explicit Models(double dropout = 0) {
    ModelOptions options = test::tiny_options();
    options.network = test::tiny_network(dropout);
    student.emplace(test::tiny_model(options, 1));
    options.parameterization = Parameterization::edm;
    teacher.emplace(test::tiny_model(options, 2));
  }
  Objective distillation(const ContinuousOptions& options) {
    const DistanceFunction distance = make_distance({.kind = options.distance});
    return objective_of(ContinuousCdOptions{options},
                        {.student = *student, .teacher = &*teacher, .distance = distance, .seed = 7});
  }
  std::optional<Model> student;
  std::optional<Model> teacher;
};

// The gradient in the student's first parameter.
Tensor gradient_of(const Objective& objective, const Model& student, const TrainingBatch& batch) {
  for (auto& parameter : student.parameters()) parameter.mutable_grad() = Tensor();
  objective.losses(batch).sum().backward();
  return student.parameters().front().grad().clone();
}

TEST(ContinuousObjective, TheRootOfTheNoiseLevelIsUniform) {
  Models models;
  constexpr int64_t kDraws = 20'000;
  const Tensor sigma = models.distillation({}).sigmas(0, sample_range(0, kDraws));
  const double low = std::pow(0.002, 1.0 / 7);
  const double high = std::pow(80, 1.0 / 7);
  const Tensor fraction = std::get<0>(((sigma.pow(1.0 / 7) - low) / (high - low)).sort());
  const Tensor expected = (torch::arange(kDraws, torch::kFloat64) + 0.5) / static_cast<double>(kDraws);
  // Kolmogorov and Smirnov's distance exceeds 1.95/√n once in a thousand times.
  EXPECT_LT(test::largest_difference(fraction, expected), 1.95 / std::sqrt(static_cast<double>(kDraws)));
}

TEST(ContinuousObjective, ItHasNeitherGridNorTarget) {
  Models models;
  const CurriculumPoint point = models.distillation({}).curriculum(5);
  EXPECT_FALSE(point.levels || point.decay);
}

TEST(ContinuousObjective, TheLimitsWeightIsTheGridsSlope) {
  Models models;
  const TrainingBatch batch = batch_of(1);
  const auto gradient = [&](const ContinuousOptions& options) {
    return gradient_of(models.distillation(options), *models.student, batch);
  };
  ContinuousOptions options;
  const Tensor uniform = gradient(options);
  options.weight = ContinuousWeight::limit;
  const double sigma = models.distillation(options).sigmas(3, {0}).item<double>();
  const double slope = 7 * (std::pow(80, 1.0 / 7) - std::pow(0.002, 1.0 / 7)) * std::pow(sigma, 6.0 / 7);
  EXPECT_LT(relative_difference(gradient(options), slope * uniform), 1e-5);
  options.weighting = Weighting::snr;
  EXPECT_LT(relative_difference(gradient(options), slope / (sigma * sigma) * uniform), 1e-5);
}

TEST(ContinuousObjective, TheStopGradientFormReportsTheMeanSquareOfU) {
  Models models;
  const TrainingBatch batch = batch_of(6);
  const Tensor reported = models.distillation({}).losses(batch);
  // ‖u‖ of the other form, whose loss it is.
  const Tensor norm = models.distillation({.stop_gradient = false}).losses(batch);
  EXPECT_LT(test::elementwise_difference(reported, norm.square() / 16), 1e-3);
  EXPECT_TRUE(reported.requires_grad());
}

TEST(ContinuousObjective, TrainingsDirectionIsTheNoise) {
  Models models;
  const TrainingBatch batch = batch_of(6);
  const Objective training =
      objective_of(ContinuousCtOptions{}, {.student = *models.student, .distance = kL2, .seed = 7});
  const Tensor z = normal({.seed = 7, .purpose = Purpose::noise, .step = 3}, batch.samples, {1, 4, 4});
  const Tensor sigma = training.sigmas(3, batch.samples).to(torch::kFloat32);
  const TrajectoryPoint point{batch.x + per_sample(sigma, z) * z, sigma, z};
  const Tensor u =
      stop_gradient_loss(models.student->denoiser(batch.labels), point, euclidean_metric(), sigma).u;
  EXPECT_LT(relative_difference(training.losses(batch), u.square().flatten(1).mean(1)), 1e-6);
}

// At dropout 0.5 the tangent of another mask would be another one altogether.
TEST(ContinuousObjective, ATangentHasItsFunctionsDropoutMask) {
  Models models(/*dropout=*/0.5);
  const TrainingBatch batch = batch_of(6);
  const auto size = [&](bool stop_gradient) {
    return models.distillation({.stop_gradient = stop_gradient}).losses(batch).detach();
  };
  EXPECT_LT(test::elementwise_difference(size(true), size(false).square() / 16), 1e-3);
  Models sober;
  EXPECT_GT(relative_difference(size(true), sober.distillation({}).losses(batch)), 1e-2);
}

TEST(ContinuousObjective, EveryLossTrainsTheStudentAlone) {
  for (const bool stop_gradient : {true, false}) {
    for (const Distance distance : {Distance::l1, Distance::l2}) {
      if (stop_gradient && distance == Distance::l1) continue;
      Models models;
      models.distillation({.stop_gradient = stop_gradient, .distance = distance})
          .losses(batch_of(6))
          .sum()
          .backward();
      for (const auto& parameter : models.student->parameters()) {
        EXPECT_TRUE(parameter.grad().isfinite().all().item<bool>());
      }
      EXPECT_GT(test::largest(models.student->parameters().front().grad()), 0);
      for (const auto& parameter : models.teacher->parameters()) EXPECT_FALSE(parameter.grad().defined());
    }
  }
}

// At 16 × 16 pixels; training's own rule (224 × 224) would take minutes.
TEST(ContinuousObjective, LpipsMeasuresUByItsHessian) {
  ModelOptions options = test::tiny_options();
  options.image.channels = 3;
  options.image.size = 16;
  const Model student = test::tiny_model(options, 1);
  const auto lpips = test::synthetic_lpips();
  const DistanceFunction d = [&](const Tensor& a, const Tensor& b) { return lpips->forward(a, b); };
  TrainingBatch batch = batch_of(1);
  batch.x = batch.x.repeat({1, 3, 4, 4});
  ModelOptions denoising = options;
  denoising.parameterization = Parameterization::edm;
  Model teacher = test::tiny_model(denoising, 2);

  ContinuousOptions through{.stop_gradient = false, .distance = Distance::lpips};
  const Objective whole = objective_of(ContinuousCdOptions{through},
                                       {.student = student, .teacher = &teacher, .distance = d, .seed = 7});
  const Tensor size = whole.losses(batch);
  EXPECT_GT(size.item<double>(), 0);
  EXPECT_GT(test::largest(gradient_of(whole, student, batch)), 0);
  through.weight = ContinuousWeight::limit;
  const double slope = karras_slope({}, whole.sigmas(3, {0})).item<double>();
  const Objective limit = objective_of(ContinuousCdOptions{through},
                                       {.student = student, .teacher = &teacher, .distance = d, .seed = 7});
  EXPECT_LT(relative_difference(limit.losses(batch), slope * slope * size), 1e-5);

  const ContinuousOptions held{.distance = Distance::lpips};
  EXPECT_GT(test::largest(gradient_of(
                objective_of(ContinuousCtOptions{held}, {.student = student, .distance = d, .seed = 7}),
                student, batch)),
            0);
  for (const auto& parameter : lpips->parameters()) EXPECT_FALSE(parameter.grad().defined());
}

std::vector<std::string> complaints_of(const ContinuousOptions& options) {
  std::vector<std::string> found;
  validate(options, [&](const std::string& key, const std::string& sentence) {
    found.push_back(key + " " + sentence);
  });
  return found;
}

TEST(ContinuousObjective, RefusesDistancesThatItHasNoLossFor) {
  EXPECT_THAT(complaints_of({}), ElementsAre());
  EXPECT_THAT(complaints_of({.stop_gradient = false, .distance = Distance::l1}), ElementsAre());
  EXPECT_THAT(complaints_of({.distance = Distance::l1}),
              ElementsAre("distance must be one of {l2, lpips} with stop_gradient, got 'l1'"));
  EXPECT_THAT(complaints_of({.stop_gradient = false, .distance = Distance::linf}),
              ElementsAre("distance must be one of {l1, l2, lpips} without stop_gradient, got 'linf'"));
}

TEST(ContinuousObjective, TrainingNeedsTheStopGradient) {
  Models models;
  EXPECT_THAT(test::message_of<c10::Error>([&] {
                objective_of(ContinuousCtOptions{{.stop_gradient = false}},
                             {.student = *models.student, .distance = kL2, .seed = 7});
              }),
              HasSubstr("needs stop_gradient"));
}

}  // namespace
}  // namespace cm
