#include "cm/training/edit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "support/closeness.h"
#include "support/each_near.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace cm {
namespace {

using test::each_near;
using test::message_of;
using testing::HasSubstr;

const ModelOptions kDiffusion = test::tiny_options(Parameterization::edm);
const ModelOptions kConsistency = test::tiny_options(Parameterization::skip);

EditRequest asking(EditTask task, std::optional<double> sigma = std::nullopt,
                   std::optional<int64_t> steps = std::nullopt, const std::vector<double>& sigmas = {}) {
  EditRequest options;
  options.task = task;
  options.sigma = sigma;
  options.steps = steps;
  options.sigmas = sigmas;
  return options;
}

constexpr auto kNone = std::nullopt;

TEST(EditWalk, ConstrainedTasksTakeTheModelsGrid) {
  for (const EditTask task : {EditTask::inpaint, EditTask::colorize, EditTask::superres}) {
    const SamplerOptions walk = edit_walk(asking(task), kConsistency);
    EXPECT_EQ(walk.kind, SamplerKind::multistep);
    EXPECT_EQ(evaluations(walk), 39);
    EXPECT_DOUBLE_EQ(walk.sigmas.front(), 80);
    EXPECT_NEAR(walk.sigmas.back(), 0.002, 1e-9);
  }
  ModelOptions model = kConsistency;
  for (const auto& [grid, expected] :
       std::map<int64_t, int64_t>{{2, 1}, {18, 17}, {41, 40}, {42, 21}, {1281, 40}}) {
    model.sampling.grid = grid;
    const SamplerOptions walk = edit_walk(asking(EditTask::inpaint), model);
    EXPECT_EQ(evaluations(walk), expected) << grid;
    EXPECT_NEAR(walk.sigmas.back(), 0.002, 1e-9);
  }
}

TEST(EditWalk, ConstrainedTasksTakeTheAskedPoints) {
  EXPECT_THAT(edit_walk(asking(EditTask::inpaint, kNone, 2), kConsistency).sigmas,
              each_near({80, 2.2404, 0.002}, 1e-4));
  EXPECT_THAT(edit_walk(asking(EditTask::inpaint, kNone, 1), kConsistency).sigmas,
              each_near({80, 0.002}, 1e-4));
  EXPECT_THAT(edit_walk(asking(EditTask::inpaint, kNone, kNone, {80, 5, 1}), kConsistency).sigmas,
              each_near({80, 5, 1, 0.002}, 1e-12));
}

TEST(EditWalk, ConstrainedTasksNeedAConsistencyModel) {
  for (const auto& [kind, name] : EnumNames<Parameterization>::names) {
    const ModelOptions model = test::tiny_options(kind);
    if (is_diffusion(kind)) {
      EXPECT_THAT(message_of<InputError>([&] { edit_walk(asking(EditTask::superres), model); }),
                  HasSubstr(concat("superres needs a consistency model, and this checkpoint is a diffusion "
                                   "model (",
                                   name, "); distill it with cm-train-cd")));
    } else {
      EXPECT_EQ(edit_walk(asking(EditTask::superres), model).sigmas.back(), walk_end(model)) << name;
    }
  }
}

TEST(EditWalk, StrokesWalkDownFromTheirLevel) {
  const auto stroke = [](std::optional<double> sigma, std::optional<int64_t> steps,
                         const std::vector<double>& sigmas, const ModelOptions& model) {
    return edit_walk(asking(EditTask::stroke, sigma, steps, sigmas), model);
  };
  ModelOptions searched = kConsistency;
  searched.sampling.sigmas = {80, 0.8};
  EXPECT_EQ(stroke(2, kNone, {}, searched).kind, SamplerKind::onestep);
  EXPECT_THAT(stroke(2, kNone, {}, searched).sigmas, each_near({2}, 1e-12));
  const auto twice = stroke(2, 2, {}, searched).sigmas;
  ASSERT_EQ(twice.size(), 3U);
  EXPECT_NEAR(twice[0], 2, 1e-12);
  EXPECT_LT(twice[1], 0.7);
  EXPECT_THAT(stroke(2, kNone, {1, 0.5}, kConsistency).sigmas, each_near({2, 1, 0.5, 0.002}, 1e-12));
  EXPECT_THAT(stroke(kNone, kNone, {2, 0.5}, kConsistency).sigmas, each_near({2, 0.5, 0.002}, 1e-12));
  const SamplerOptions of_diffusion = stroke(2, 5, {}, kDiffusion);
  EXPECT_EQ(of_diffusion.kind, Solver::heun);
  EXPECT_NEAR(of_diffusion.sigmas.front(), 2, 1e-6);  // a diffusion sampler's grid is fp32
  EXPECT_EQ(of_diffusion.sigmas.back(), 0);
  EXPECT_THAT(stroke(80, kNone, {}, kConsistency).sigmas, each_near({80}, 1e-12));
  const ModelOptions of_ddpm = test::tiny_options(Parameterization::vp_diffusion);
  EXPECT_NEAR(stroke(2, 5, {}, of_ddpm).sigmas.front(), 2, 1e-6);
  for (const double sigma : {0.0, 0.002, 80.5, -1.0}) {
    EXPECT_THAT(message_of<InputError>([&] { stroke(sigma, kNone, {}, kConsistency); }),
                HasSubstr("--sigma must lie in (0.002, 80], got "));
  }
  EXPECT_THAT(message_of<InputError>([&] {
                stroke(2, kNone, {5, 1}, kConsistency);
              }),
              HasSubstr("--sigmas must lie in (0.002, 2], got 5"));
}

TEST(EditWalk, DenoisingIsOneEvaluationOfAnyModel) {
  for (const auto& model : {kDiffusion, kConsistency}) {
    const SamplerOptions walk = edit_walk(asking(EditTask::denoise, 0.3), model);
    EXPECT_EQ(walk.kind, SamplerKind::onestep);
    EXPECT_THAT(walk.sigmas, each_near({0.3}, 1e-12));
  }
  EXPECT_THAT(message_of<InputError>([] { edit_walk(asking(EditTask::denoise, 81), kConsistency); }),
              HasSubstr("--sigma must lie in (0.002, 80], got 81"));
}

TEST(EditWalk, LatentsHaveNoPixelsToKeep) {
  ModelOptions model = kConsistency;
  model.latents = LatentSpace();
  const auto mistake = [&](const EditRequest& request) {
    return message_of<InputError>([&] { edit_walk(request, model); });
  };
  for (const EditTask task : {EditTask::inpaint, EditTask::colorize, EditTask::superres}) {
    EXPECT_THAT(mistake(asking(task)),
                HasSubstr(concat(to_string(task),
                                 " keeps a part of a picture's pixels, and this checkpoint is a "
                                 "model of latents")));
  }
  EditRequest denoise = asking(EditTask::denoise, 3);
  EXPECT_THAT(mistake(denoise), HasSubstr("let --add-noise put it into the latents"));
  denoise.add_noise = true;
  EXPECT_FALSE(edit_walk(denoise, model).clamp);
  EXPECT_FALSE(edit_walk(asking(EditTask::stroke, 3), model).clamp);
  EXPECT_FALSE(edit_walk(asking(EditTask::interpolate), model).clamp);
}

TEST(EditWalk, InterpolationSamplesAsTheModelDoes) {
  EXPECT_EQ(edit_walk(asking(EditTask::interpolate), kDiffusion).kind, Solver::heun);
  EXPECT_EQ(edit_walk(asking(EditTask::interpolate), kConsistency).kind, SamplerKind::onestep);
  EXPECT_EQ(evaluations(edit_walk(asking(EditTask::interpolate, kNone, 3), kConsistency)), 3);
}

TEST(EditWalk, StrokesAndInterpolationsWalkByAnySolver) {
  for (const auto& [solver, name] : EnumNames<Solver>::names) {
    for (const EditTask task : {EditTask::stroke, EditTask::interpolate}) {
      EditRequest options = asking(task, 2, 3);
      options.sampler = solver;
      const SamplerOptions walk = edit_walk(options, kDiffusion);
      EXPECT_EQ(walk.kind, solver) << name;
      EXPECT_EQ(evaluations(walk),
                evaluations(choose_sampler({.kind = Sampler(solver), .steps = 3}, kDiffusion)))
          << name;
    }
  }
}

TEST(EditWalk, EveryTaskCanBeGuided) {
  ModelOptions model = kConsistency;
  model.label_dropout = 0.1;
  for (const auto& entry : EnumNames<EditTask>::names) {
    EditRequest options = asking(entry.value, entry.value == EditTask::denoise ? std::optional(2.0) : kNone);
    if (entry.value != EditTask::denoise) options.sigmas = {80, 1};
    const int64_t unguided = evaluations(edit_walk(options, model));
    options.guidance = {2};
    const SamplerOptions walk = edit_walk(options, model);
    EXPECT_EQ(walk.guidance, Guidance{2}) << entry.name;
    EXPECT_EQ(evaluations(walk), 2 * unguided) << entry.name;
    EXPECT_THAT(message_of<InputError>([&] { edit_walk(options, kConsistency); }),
                HasSubstr("--guidance 2: the model was trained without label dropout"));
  }
}

TEST(EditWalk, TheEndsOfAnInterpolationAreTheSeedsOwnDraws) {
  EditRequest options = asking(EditTask::interpolate, kNone, 3);
  options.seeds = {7, 9};
  const SamplerOptions walk = edit_walk(options, kConsistency);
  const BatchDraws draws = edit_draws(options, kConsistency, walk, 0, 5);
  const SampleNoise all = draws(0, 5);
  const SampleNoise a = seeded_noise(kConsistency, walk, 7, 0, 1);
  const SampleNoise b = seeded_noise(kConsistency, walk, 9, 0, 1);
  EXPECT_TRUE(torch::equal(all.x_T.narrow(0, 0, 1), a.x_T));
  EXPECT_TRUE(torch::equal(all.x_T.narrow(0, 4, 1), b.x_T));
  EXPECT_TRUE(torch::equal(all.noise(1).narrow(0, 0, 1), a.noise(1)));
  EXPECT_TRUE(torch::equal(all.noise(1).narrow(0, 4, 1), b.noise(1)));
  const SampleNoise part = draws(2, 2);
  EXPECT_TRUE(torch::equal(part.x_T, all.x_T.narrow(0, 2, 2)));
  EXPECT_TRUE(torch::equal(part.noise(0), all.noise(0).narrow(0, 2, 2)));
}

TEST(EditWalk, DrawsComeFromTheSeedOrAFile) {
  EditRequest options = asking(EditTask::stroke, 2);
  const SamplerOptions walk = edit_walk(options, kConsistency);
  const SampleNoise seeded = edit_draws(options, kConsistency, walk, 0, 4)(1, 3);
  EXPECT_TRUE(torch::equal(seeded.x_T, seeded_noise(kConsistency, walk, 0, 1, 3).x_T));
  EXPECT_NEAR(edit_draws(options, kConsistency, walk, 0, 500)(0, 500).x_T.std().item<double>(), 2, 0.1);
  const test::TemporaryFolder folder;
  const Tensor x_T = torch::arange(4 * 16, torch::kFloat32).view({4, 1, 4, 4});
  save_safetensors(folder / "n.safetensors", {{"x_T", x_T}});
  options.noise = (folder / "n.safetensors").string();
  EXPECT_TRUE(torch::equal(edit_draws(options, kConsistency, walk, 0, 4)(1, 3).x_T, x_T.narrow(0, 1, 3)));
  EXPECT_THAT(message_of<InputError>([&] { edit_draws(options, kConsistency, walk, 0, 5); }),
              HasSubstr("x_T must have the shape [5, 1, 4, 4]"));
}

}  // namespace
}  // namespace cm
