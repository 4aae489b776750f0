#include "cm/training/pd_objective.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cm/training/distance_function.h"
#include "cm/training/sampling.h"
#include "src/training/level_pairs.h"
#include "support/closeness.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

void expect_stage(const Stage& stage, int64_t first, int64_t length, int64_t sampler_steps) {
  EXPECT_EQ(stage.first, first);
  EXPECT_EQ(stage.length, length);
  EXPECT_EQ(stage.sampler_steps, sampler_steps);
}

// The published run on CIFAR-10: 4096 → 4 with 50,000 steps each, N = 2 for 100,000, N = 1 for the rest.
TEST(PdObjective, TheDefaultStagesAreThePublishedOnes) {
  const auto stage = [](int64_t step) { return pd_stage({}, step, 800'000); };
  expect_stage(stage(0), 0, 50'000, 4096);
  expect_stage(stage(49'999), 0, 50'000, 4096);
  expect_stage(stage(50'000), 50'000, 50'000, 2048);
  expect_stage(stage(549'999), 500'000, 50'000, 4);
  expect_stage(stage(550'000), 550'000, 100'000, 2);
  expect_stage(stage(649'999), 550'000, 100'000, 2);
  expect_stage(stage(650'000), 650'000, 150'000, 1);
  expect_stage(stage(799'999), 650'000, 150'000, 1);
}

TEST(PdObjective, StagesCanStartAnywhereAndEndEarly) {
  const PdOptions four{.start_steps = 4, .steps_per_stage = 10, .steps_two = 5};
  expect_stage(pd_stage(four, 9, 10), 0, 10, 4);
  expect_stage(pd_stage(four, 14, 40), 10, 5, 2);
  expect_stage(pd_stage(four, 15, 40), 15, 25, 1);
  expect_stage(pd_stage({.start_steps = 2, .steps_per_stage = 10}, 19, 40), 0, 20, 2);
  expect_stage(pd_stage({.start_steps = 1, .steps_per_stage = 10}, 39, 40), 0, 40, 1);
}

TEST(PdObjective, StartStepsMustBeAPowerOfTwo) {
  std::string complaint;
  const Complain complain = [&](const std::string& key, const std::string& text) {
    complaint = key + " " + text;
  };
  for (const int64_t good : {1, 2, 1024}) validate(PdOptions{.start_steps = good}, complain);
  EXPECT_EQ(complaint, "");
  validate(PdOptions{.start_steps = 12}, complain);
  EXPECT_EQ(complaint, "start_steps must be a power of two, because each stage halves it, got 12");
}

TEST(PdObjective, EveryStepOfTheStagesGridStartsEquallyOften) {
  const test::TinyRun run(kObjective<PdOptions>);
  constexpr int64_t kDraws = 20'000;
  for (const auto& [step, n] : {std::pair<int64_t, int64_t>{0, 4}, {2, 2}, {5, 1}}) {
    EXPECT_EQ(run.objective.curriculum(step).levels, n);
    EXPECT_FALSE(run.objective.curriculum(step).decay);
    const Tensor sigmas = run.objective.sigmas(step, sample_range(0, kDraws));
    for (int64_t i = 0; i < n; ++i) {
      const double level = karras_sigma({}, n + 1, static_cast<double>(i));
      const double share = (sigmas == level).to(torch::kFloat64).mean().item<double>();
      const double p = 1 / static_cast<double>(n);
      EXPECT_NEAR(share, p, 5 * std::sqrt(p * (1 - p) / kDraws)) << level;
    }
  }
}

// What the loss asks for is what the sampler then does: a student that answers each target takes, step by
// step, the way that its teacher takes with twice the steps.
TEST(PdObjective, APerfectStudentSamplesAsItsTeacherDoes) {
  const ModelOptions teacher_options = test::tiny_options(Parameterization::edm);
  const Model teacher = test::tiny_model(teacher_options, 1);
  ModelOptions student_options = teacher_options;
  student_options.distilled_steps = 2;
  const Tensor labels = torch::tensor({0, 1, 2});
  const Denoiser phi = teacher.denoiser(labels);
  const auto grid = halved_steps_at(teacher_options.sigma, 2, {0, 1});
  const Denoiser perfect = [&](const Tensor& x, const Tensor& sigma) {
    const int64_t i = sigma[0].item<double>() > 70 ? 0 : 1;
    const auto at = [&](const Tensor& levels) { return torch::full({3}, levels[i].item<double>()); };
    return two_step_target(phi, x, {sigma, at(grid.mid), at(grid.end)});
  };
  const torch::NoGradGuard guard;
  SamplerOptions two = choose_sampler({}, student_options);
  SamplerOptions four = choose_sampler({.kind = SamplerKind::progdist, .steps = 4}, teacher_options);
  two.clamp = four.clamp = false;
  const SampleNoise noise = seeded_noise(teacher_options, two, 7, 0, 3);
  const double sigma_min = teacher_options.sigma.min;
  EXPECT_LT(
      test::relative_difference(walk(perfect, two, noise, sigma_min), walk(phi, four, noise, sigma_min)),
      1e-4);
}

}  // namespace
}  // namespace cm
