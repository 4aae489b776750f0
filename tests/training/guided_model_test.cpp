#include "cm/training/guided_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/kernels/normal.h"
#include "cm/training/sampling.h"
#include "support/closeness.h"
#include "support/message_of.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

using test::message_of;
using testing::HasSubstr;

ModelOptions guidable(Parameterization parameterization = Parameterization::edm) {
  ModelOptions options = test::tiny_options(parameterization);
  options.label_dropout = 0.1;
  return options;
}

// The same model, of which every class adds 0: it answers to each as to the null class.
Model without_classes(const ModelOptions& options, uint64_t seed) {
  Model model = test::tiny_model(options, seed);
  model.named_weights().at("label_emb.weight").detach().zero_();
  return model;
}

struct Points {
  Tensor x = 5 * normal({.seed = 3}, sample_range(0, 3), {1, 4, 4});
  Tensor sigma = torch::tensor({0.1, 1.0, 5.0});
  Tensor labels = torch::tensor({0, 1, 2});
};

TEST(GuidedModel, IsGuidedFromItsNullClassToTheLabels) {
  const torch::NoGradGuard guard;
  const Model model = test::tiny_model(guidable(), 1);
  const Points at;
  const Tensor of_class = model.denoiser(at.labels)(at.x, at.sigma);
  const Tensor of_null = without_classes(guidable(), 1).denoiser(at.labels)(at.x, at.sigma);
  const auto by = [&](double w) { return guided_denoiser(model, at.labels, {w})(at.x, at.sigma); };
  EXPECT_GT(test::largest_difference(of_class, of_null), 1e-3);
  EXPECT_TRUE(torch::equal(by(1), of_class));
  EXPECT_TRUE(torch::equal(by(0), of_null));
  EXPECT_LT(test::largest_difference(by(3), of_null + 3 * (of_class - of_null)), 1e-6);
}

TEST(GuidedModel, AnExampleWithoutAClassIsNotGuided) {
  const torch::NoGradGuard guard;
  const Model model = test::tiny_model(guidable(), 1);
  const Points at;
  const Tensor null = torch::full_like(at.labels, kNullClass);
  EXPECT_TRUE(
      torch::equal(guided_denoiser(model, null, {3})(at.x, at.sigma), model.denoiser(null)(at.x, at.sigma)));
}

TEST(GuidedModel, ModelsThatCannotBeGuidedAreMistakes) {
  const auto mistake = [](const ModelOptions& options, double w) {
    return message_of<InputError>([&] { check_guidance(options, {w}, false, "--guidance 3"); });
  };
  check_guidance(guidable(), {3}, false, "--guidance 3");
  check_guidance(test::tiny_options(), {1}, false, "--guidance 1");
  EXPECT_THAT(
      mistake(test::tiny_options(), 3),
      HasSubstr("--guidance 3: the model was trained without label dropout, so it doesn't know how to do "
                "without a class, which guidance needs; train one with train.label_dropout=0.1, say"));
  ModelOptions no_classes = guidable();
  no_classes.image.classes = 0;
  EXPECT_THAT(mistake(no_classes, 0),
              HasSubstr("the model has no classes, and guidance leads towards one; leave it out"));
  ModelOptions student = guidable();
  student.guidance = 2.5;
  EXPECT_THAT(mistake(student, 3),
              HasSubstr("guidance of weight 2.5 was distilled into the model already; leave it out"));
  for (const double w : {-0.5, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THAT(mistake(guidable(), w), HasSubstr("must be a number of at least 0"));
  }
}

TEST(GuidedModel, IsGuidedAwayFromItsGuide) {
  const torch::NoGradGuard guard;
  const Points at;
  ModelOptions unconditional = test::tiny_options(Parameterization::edm);
  unconditional.image.classes = 0;
  for (const ModelOptions& options : {test::tiny_options(Parameterization::edm), unconditional}) {
    const Model weak = test::tiny_model(options, 2);
    Model model = test::tiny_model(test::tiny_options(Parameterization::edm), 1);
    const Tensor own = model.denoiser(at.labels)(at.x, at.sigma);
    const Tensor of_weak = weak.denoiser(options.image.classes > 0 ? at.labels : Tensor())(at.x, at.sigma);
    model.guide_by(weak);
    const auto by = [&](const Guidance& guidance) {
      return guided_denoiser(model, at.labels, guidance)(at.x, at.sigma);
    };
    EXPECT_TRUE(torch::equal(by({1}), own));
    EXPECT_TRUE(torch::equal(by({0}), of_weak));
    EXPECT_LT(test::largest_difference(by({3}), of_weak + 3 * (own - of_weak)), 1e-6);
    EXPECT_TRUE(torch::equal(by({3, 0.1, 1.0})[0], own[0]));
    EXPECT_TRUE(torch::equal(by({3, 0.1, 1.0})[1], by({3})[1]));
  }
}

TEST(GuidedModel, GuidesThatCannotGuideAreMistakes) {
  const ModelOptions model = test::tiny_options(Parameterization::edm);
  const auto mistake = [&](const ModelOptions& guide) {
    return message_of<InputError>([&] { check_guide(model, guide, "--guide FILE"); });
  };
  check_guide(model, model, "--guide FILE");
  ModelOptions larger = model;
  larger.image.size *= 2;
  EXPECT_EQ(
      mistake(larger),
      "--guide FILE: is a model of other images (1 × 8 × 8, 3 classes) than the one that it is to guide (1 × "
      "4 × 4, 3 classes)");
  ModelOptions of_more = model;
  of_more.image.classes = 5;
  EXPECT_THAT(mistake(of_more), HasSubstr("4 × 4, 5 classes) than"));
  EXPECT_THAT(
      mistake(test::tiny_options(Parameterization::skip)),
      HasSubstr("is a consistency model and would guide a diffusion model; name one of the same kind"));
  ModelOptions of_latents = model;
  of_latents.latents = LatentSpace();
  EXPECT_THAT(mistake(of_latents),
              HasSubstr("is a model of latents, not of pixels, as the one that it is to guide"));
  ModelOptions of_few_steps = model;
  of_few_steps.distilled_steps = 4;
  EXPECT_THAT(mistake(of_few_steps),
              HasSubstr("was distilled to 4 steps, but the model that it would guide was not"));
}

TEST(GuidedModel, TheGuidedDenoiserIsClampedAsAWhole) {
  const torch::NoGradGuard guard;
  const ModelOptions options = guidable(Parameterization::skip);
  const Model model = test::tiny_model(options, 1);
  const Points at;
  const SamplerOptions sampler = choose_sampler({.guidance = {0.5}}, options);
  EXPECT_EQ(evaluations(sampler), 2);
  const SampleNoise noise = seeded_noise(options, sampler, 7, 0, 3);
  const Tensor sigma = torch::full({3}, 80.0F);
  const Tensor of_class = model.denoiser(at.labels)(noise.x_T, sigma);
  const Tensor of_null = model.denoiser(torch::full_like(at.labels, kNullClass))(noise.x_T, sigma);
  const Tensor whole = ((of_class + of_null) / 2).clamp(-1, 1);
  const Tensor one_by_one = (of_class.clamp(-1, 1) + of_null.clamp(-1, 1)) / 2;
  ASSERT_GT(test::largest_difference(whole, one_by_one), 1e-3);
  EXPECT_LT(test::largest_difference(sample(model, sampler, noise, at.labels), whole), 1e-5);
}

TEST(GuidedModel, SamplersCountTheEvaluationsOfBothAnswers) {
  const auto count = [](double w) {
    return evaluations(choose_sampler({.kind = Solver::heun, .steps = 18, .guidance = {w}}, guidable()));
  };
  EXPECT_EQ(count(1), 35);
  EXPECT_EQ(count(0), 35);
  EXPECT_EQ(count(2), 70);
  EXPECT_THAT(message_of<InputError>([] { choose_sampler({.guidance = {2}}, test::tiny_options()); }),
              HasSubstr("--guidance 2: the model was trained without label dropout"));
  EXPECT_THAT(
      message_of<InputError>([] {
        choose_sampler({.guidance = {1, 0.5}}, guidable());
      }),
      HasSubstr("--guidance 1 guides nothing, so --guidance-sigma-min and -max would have no effect"));
  EXPECT_THAT(message_of<InputError>([] {
                choose_sampler({.guidance = {2, 3, 0.5}}, guidable());
              }),
              HasSubstr("--guidance 2: holds for sigma above 3 and up to 0.5, which is nowhere"));
}

// Heun's walk evaluates at its levels' beginning and end, but for the end of the last step, 0.
TEST(GuidedModel, SamplersCountTheWeakerAnswersInTheIntervalOnly) {
  const SamplerOptions walk =
      choose_sampler({.kind = Solver::heun, .steps = 18, .guidance = {2, 0.3, 5.0}}, guidable());
  int64_t expected = 0;
  for (size_t i = 0; i + 1 < walk.sigmas.size(); ++i) {
    const auto cost = [](double sigma) { return sigma > 0.3 && sigma <= 5 ? 2 : 1; };
    expected += cost(walk.sigmas[i]) + (walk.sigmas[i + 1] > 0 ? cost(walk.sigmas[i + 1]) : 0);
  }
  EXPECT_GT(expected, 35);
  EXPECT_EQ(evaluations(walk), expected);
}

TEST(GuidedModel, MultistepSamplingIsGuidedInEveryStep) {
  const ModelOptions options = guidable(Parameterization::skip);
  const Model model = test::tiny_model(options, 1);
  const Tensor labels = Points().labels;
  const SamplerOptions whole = choose_sampler({.sigmas = {80, 5}, .guidance = {3}}, options);
  const SampleNoise noise = seeded_noise(options, whole, 7, 0, 3);
  const Tensor first = sample(model, choose_sampler({.guidance = {3}}, options), noise, labels);
  const Tensor x = sample_next(model, first, 5, noise.noise(0), labels, {3});
  EXPECT_TRUE(torch::equal(x, sample(model, whole, noise, labels)));
  EXPECT_GT(test::largest_difference(x, sample_next(model, first, 5, noise.noise(0), labels)), 1e-4);
}

// The losses of a batch by a method that distills a teacher.
Tensor losses_of(ObjectiveKind method, Model teacher, const Guidance& guidance) {
  const Model student =
      test::tiny_model(test::tiny_options(method_by_default(method).parameterizations.front()), 2);
  const Objective objective = test::shortened_objective(method, {.student = student,
                                                                 .target = &student,
                                                                 .teacher = &teacher,
                                                                 .guidance = guidance,
                                                                 .total_steps = 4,
                                                                 .seed = 7});
  return objective.losses(test::training_batch(test::tiny_batch(0), 0)).detach();
}

// Guided by w = 0, a teacher is its null class, and so the teacher without what its classes add.
TEST(GuidedModel, EveryDistillationFollowsTheGuidedTeacher) {
  for (const ObjectiveKind method : test::kMethods) {
    if (!method_by_default(method).needs_teacher) continue;
    SCOPED_TRACE(to_string(method));
    const Model teacher = test::tiny_model(guidable(), 1);
    const Tensor unguided = losses_of(method, teacher, {1});
    const Tensor by_null = losses_of(method, teacher, {0});
    EXPECT_TRUE(torch::equal(by_null, losses_of(method, without_classes(guidable(), 1), {1})));
    EXPECT_GT(test::elementwise_difference(by_null, unguided), 1e-5);
    EXPECT_GT(test::elementwise_difference(losses_of(method, teacher, {3}), unguided), 1e-5);
    // By its guide: w = 0 is that one as the teacher; an interval beyond all levels is none.
    Model guided_teacher = teacher;
    const Model guide = test::tiny_model(guidable(), 3);
    guided_teacher.guide_by(guide);
    EXPECT_TRUE(torch::equal(losses_of(method, guided_teacher, {0}), losses_of(method, guide, {1})));
    EXPECT_TRUE(torch::equal(losses_of(method, guided_teacher, {3, 1000.0}), unguided));
    EXPECT_TRUE(torch::equal(losses_of(method, guided_teacher, {3, 1e-6, 1000.0}),
                             losses_of(method, guided_teacher, {3})));
  }
}

TEST(GuidedModel, ALaterTeacherOfProgressiveDistillationIsNotGuidedAgain) {
  ModelOptions learned = guidable();
  learned.guidance = 3;
  const Model later = test::tiny_model(learned, 1);
  EXPECT_TRUE(torch::equal(losses_of(kObjective<PdOptions>, later, {3}),
                           losses_of(kObjective<PdOptions>, later, {1})));
}

}  // namespace
}  // namespace cm
