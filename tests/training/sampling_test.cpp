#include "cm/training/sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/base/text.h"
#include "cm/diffusion/ddpm_levels.h"
#include "cm/kernels/device_graph.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"
#include "support/devices.h"
#include "support/each_near.h"
#include "support/message_of.h"
#include "support/tiny_model.h"

namespace cm {
namespace {

using test::each_near;
using test::message_of;
using testing::HasSubstr;

const ModelOptions kTeacher = test::tiny_options(Parameterization::edm);
const ModelOptions kStudent = test::tiny_options(Parameterization::skip);
const ModelOptions kMap = test::tiny_options(Parameterization::linear_map);

// One that the sampler can sample.
const ModelOptions& model_for(Sampler kind) {
  if (kind == SamplerKind::flow_map) return kMap;
  return is_consistency_sampler(kind) ? kStudent : kTeacher;
}

void expect_sigmas(const SamplerOptions& options, const std::vector<double>& sigmas) {
  EXPECT_THAT(options.sigmas, each_near(sigmas, 1e-4));
}

std::string mistake_of(const SamplerRequest& request, const ModelOptions& model = kStudent) {
  return message_of<InputError>([&] { choose_sampler(request, model); });
}

TEST(Sampling, ADenoiserIsSampledByHeunUnlessToldOtherwise) {
  const SamplerOptions heun = choose_sampler({}, kTeacher);
  EXPECT_EQ(heun.kind, Solver::heun);
  EXPECT_EQ(heun.sigmas.size(), 19U);
  EXPECT_EQ(heun.sigmas.back(), 0);
  EXPECT_EQ(evaluations(heun), 35);
  const SamplerOptions euler = choose_sampler({.kind = Solver::euler, .steps = 5}, kTeacher);
  EXPECT_EQ(euler.sigmas.size(), 6U);
  EXPECT_EQ(evaluations(euler), 5);
  const std::map<std::string, int64_t> in_five_steps = {
      {"midpoint", 9}, {"dpm", 10}, {"dpm_solver_2", 9}, {"rk4", 17}, {"ancestral", 5}, {"progdist", 5}};
  for (const auto& [name, expected] : in_five_steps) {
    const auto kind = from_name<Sampler>(name);
    EXPECT_EQ(evaluations(choose_sampler({.kind = kind, .steps = 5}, kTeacher)), expected) << name;
  }
}

TEST(Sampling, ADenoiserOfDdpmsLevelsIsAskedAtTheseAlone) {
  const ModelOptions model = test::tiny_options(Parameterization::vp_diffusion);
  EXPECT_EQ(choose_sampler({.kind = Solver::euler, .steps = 7}, model).sigmas, ddim_sigmas(7));
  EXPECT_EQ(choose_sampler({.kind = SamplerKind::ancestral, .steps = 50}, model).sigmas, ddim_sigmas(50));
  EXPECT_THAT(mistake_of({.steps = 1001}, model),
              HasSubstr("--steps must be at most 1000, the noise levels that this checkpoint knows"));
}

TEST(Sampling, EverySolverIsASampler) {
  const Model model = test::tiny_model(kTeacher, 3);
  for (const auto& [solver, name] : EnumNames<Solver>::names) {
    const SamplerOptions walked = choose_sampler({.kind = from_name<Sampler>(name), .steps = 3}, kTeacher);
    EXPECT_EQ(walked.kind, solver) << name;
    EXPECT_EQ(to_string(walked.kind), name);
    const SampleNoise noise = seeded_noise(kTeacher, walked, 7, 0, 2);
    const Denoiser denoiser = model.denoiser(torch::tensor({0, 1}));
    EXPECT_TRUE(torch::equal(walk(denoiser, walked, noise, 0),
                             sample_ode(solver, clamped(denoiser), noise.x_T, walked.sigmas)))
        << name;
  }
}

TEST(Sampling, NoTwoSamplersShareAName) {
  const auto names = all_names<Sampler>();
  EXPECT_EQ(std::set(names.begin(), names.end()).size(), names.size());
  EXPECT_EQ(names.size(), EnumNames<Solver>::names.size() + 5);
}

TEST(Sampling, ProgressiveDistillationEndsAtSigmaMin) {
  const SamplerOptions options = choose_sampler({.kind = SamplerKind::progdist, .steps = 1}, kTeacher);
  expect_sigmas(options, {80, 0.002});
  EXPECT_EQ(evaluations(options), 1);
}

ModelOptions distilled_to(int64_t steps) {
  ModelOptions model = kTeacher;
  model.distilled_steps = steps;
  return model;
}

TEST(Sampling, AModelOfProgressiveDistillationTakesItsOwnSteps) {
  const SamplerOptions own = choose_sampler({}, distilled_to(2));
  EXPECT_EQ(own.kind, SamplerKind::progdist);
  expect_sigmas(own, {80, karras_sigma({}, 3, 1), 0.002});
  EXPECT_EQ(evaluations(own), 2);
  EXPECT_EQ(choose_sampler({.steps = 2}, distilled_to(2)).sigmas, own.sigmas);
  expect_sigmas(choose_sampler({.kind = SamplerKind::progdist}, distilled_to(1)), {80, 0.002});
}

TEST(Sampling, AConsistencyModelTakesOneStepUnlessToldOtherwise) {
  const SamplerOptions once = choose_sampler({}, kStudent);
  EXPECT_EQ(once.kind, SamplerKind::onestep);
  expect_sigmas(once, {80});
  EXPECT_EQ(evaluations(once), 1);
  EXPECT_EQ(choose_sampler({.steps = 1}, kStudent).kind, SamplerKind::onestep);
  const SamplerOptions twice = choose_sampler({.steps = 2}, kStudent);
  EXPECT_EQ(twice.kind, SamplerKind::multistep);
  expect_sigmas(twice, {80, 2.2404, 0.002});
  EXPECT_EQ(evaluations(twice), 2);
}

TEST(Sampling, TimePointsCanBeNamedAsSigmasOrIndices) {
  expect_sigmas(choose_sampler({.sigmas = {80, 0.66}}, kStudent), {80, 0.66, 0.002});
  expect_sigmas(choose_sampler({.indices = {0, 22, 39}}, kStudent), {80, 1.3824, 0.002});
  expect_sigmas(choose_sampler({.indices = {0, 17}, .grid = 18}, kStudent), {80, 0.002});
}

TEST(Sampling, TheModelsOwnPointsComeFirst) {
  ModelOptions model = kStudent;
  model.sampling.grid = 18;
  expect_sigmas(choose_sampler({.steps = 18}, model), [] {
    auto sigmas = sampler_sigmas({}, 18);
    sigmas.back() = 0.002;
    return sigmas;
  }());
  model.sampling.sigmas = {80, 0.9};
  expect_sigmas(choose_sampler({.steps = 2}, model), {80, 0.9, 0.002});
  EXPECT_EQ(choose_sampler({.steps = 3}, model).sigmas.size(), 4U);
  expect_sigmas(choose_sampler({.steps = 2, .grid = 40}, model), {80, 2.2404, 0.002});
}

TEST(Sampling, AGridThatNothingCountsOnIsAMistake) {
  const auto of = [](std::string_view name) {
    return HasSubstr(
        concat("--grid has the levels that multistep sampling's --indices and --steps count on; the ", name,
               " sampler counts on none here; leave it out"));
  };
  for (const auto& [kind, name] : EnumNames<Sampler>::names) {
    const ModelOptions& model = model_for(kind);
    const SamplerRequest request{.kind = kind, .grid = 18};
    if (kind == SamplerKind::multistep) {
      EXPECT_EQ(choose_sampler(request, model).sigmas.size(), 3U);
    } else {
      EXPECT_THAT(mistake_of(request, model), of(name));
    }
  }
  EXPECT_THAT(mistake_of({.steps = 1, .grid = 18}), of("onestep"));
  EXPECT_THAT(mistake_of({.sigmas = {80, 1}, .grid = 18}), of("multistep"));
}

TEST(Sampling, SamplersThatDoNotFitTheModelAreMistakes) {
  std::vector<std::string> of_diffusion = all_names<Solver>();
  of_diffusion.emplace_back("ancestral");
  EXPECT_THAT(
      mistake_of({.kind = SamplerKind::multistep}, kTeacher),
      HasSubstr(
          concat("the multistep sampler needs a consistency model, and this checkpoint is a diffusion model; "
                 "use ",
                 enumerate(of_diffusion, "or"), ", or distill it first")));
  EXPECT_THAT(
      mistake_of({.kind = Solver::heun}),
      HasSubstr("the heun sampler walks a diffusion model's ODE, and this checkpoint is a consistency "
                "model; use onestep, multistep or flow_map"));
  EXPECT_THAT(mistake_of({.sigmas = {80, 1}}, kTeacher), HasSubstr("are for multistep sampling"));
  EXPECT_THAT(mistake_of({.kind = SamplerKind::onestep, .steps = 2}), HasSubstr("takes one step"));
}

TEST(Sampling, OtherStepsThanAModelWasDistilledToAreMistakes) {
  EXPECT_THAT(
      mistake_of({.steps = 4}, distilled_to(2)),
      HasSubstr("was distilled to take 2 Euler steps down its own grid (progressive distillation) and can "
                "take no others; leave out --sampler and --steps"));
  EXPECT_THAT(mistake_of({.kind = Solver::heun}, distilled_to(1)), HasSubstr("take 1 Euler step down"));
  EXPECT_THAT(mistake_of({.sigmas = {80, 1}}, distilled_to(2)), HasSubstr("are for multistep sampling"));
}

TEST(Sampling, RequestsThatContradictThemselvesAreMistakes) {
  EXPECT_THAT(mistake_of({.steps = 2, .sigmas = {80, 1}}), HasSubstr("exclude one another"));
  EXPECT_THAT(mistake_of({.steps = 0}), HasSubstr("--steps must be at least 1, got 0"));
  EXPECT_THAT(mistake_of({.steps = 41}), HasSubstr("takes 1 to 40 steps, got 41"));
  EXPECT_THAT(mistake_of({.steps = 2, .grid = 1}), HasSubstr("--grid must be at least 2, got 1"));
  EXPECT_THAT(mistake_of({.indices = {0}}), HasSubstr("--indices needs at least two"));
  EXPECT_THAT(mistake_of({.indices = {0, 40}}),
              HasSubstr("must lie in 0 … 39 on a grid of 40 levels, got 40"));
  EXPECT_THAT(mistake_of({.indices = {5, 5}}), HasSubstr("--indices must increase"));
  EXPECT_THAT(mistake_of({.sigmas = {1, 80}}), HasSubstr("--sigmas must decrease, got 1 before 80"));
  EXPECT_THAT(mistake_of({.sigmas = {80, 5, 5}}), HasSubstr("--sigmas must decrease, got 5 before 5"));
  EXPECT_THAT(mistake_of({.sigmas = {100}}), HasSubstr("--sigmas must lie in (0.002, 80], got 100"));
  EXPECT_THAT(mistake_of({.sigmas = {80, 0.002}}), HasSubstr("in (0.002, 80], got 0.002"));
}

TEST(Sampling, ChurnAndClampAreTheRequests) {
  const Churn churn{.s_churn = 5, .s_tmin = 0.1, .s_tmax = 50, .s_noise = 1.01};
  const SamplerOptions options =
      choose_sampler({.kind = Solver::heun, .churn = churn, .clamp = false}, kTeacher);
  EXPECT_EQ(options.churn.s_churn, 5);
  EXPECT_EQ(options.churn.s_tmin, 0.1);
  EXPECT_EQ(options.churn.s_tmax, 50);
  EXPECT_EQ(options.churn.s_noise, 1.01);
  EXPECT_FALSE(options.clamp);
  EXPECT_TRUE(choose_sampler({}, kTeacher).clamp);
}

// Pixels end in [−1, 1] and latents nowhere.
TEST(Sampling, LatentsAreNotClamped) {
  for (const ModelOptions* pixels : {&kTeacher, &kStudent, &kMap}) {
    ModelOptions options = *pixels;
    options.latents = LatentSpace();
    EXPECT_FALSE(choose_sampler({}, options).clamp);
    EXPECT_FALSE(one_step(options, 5).clamp);
    EXPECT_TRUE(one_step(*pixels, 5).clamp);
    Model model = test::tiny_model(options, 1);
    model.freeze();
    for (const auto& parameter : model.parameters()) parameter.mul_(20);
    const SamplerOptions walk = choose_sampler({}, options);
    const SampleNoise noise = seeded_noise(options, walk, 3, 0, 2);
    const Tensor labels = torch::tensor({0, 1});
    const Tensor x = sample(model, walk, noise, labels);
    EXPECT_GT(x.abs().max().item<float>(), 1.1);
    if (options.parameterization == Parameterization::edm) {
      EXPECT_TRUE(torch::equal(x, cm::walk(model.denoiser(labels), walk, noise, walk_end(options))));
    }
    if (walk.kind == SamplerKind::onestep) {
      EXPECT_GT(sample_next(model, x, 5, torch::ones_like(x), labels).abs().max().item<float>(), 1.1);
    }
  }
}

TEST(Sampling, ChurnIsForStepsDownTheOdeOnly) {
  for (const auto& [kind, name] : EnumNames<Sampler>::names) {
    const ModelOptions& model = model_for(kind);
    const bool takes = from_name<Solver>(name).has_value();
    const SamplerRequest request{.kind = kind, .churn = {.s_churn = 1}};
    if (takes) {
      EXPECT_EQ(choose_sampler(request, model).churn.s_churn, 1) << name;
    } else {
      EXPECT_THAT(mistake_of(request, model), HasSubstr(concat("--s-churn adds noise to the steps of ",
                                                               enumerate(all_names<Solver>(), "and"),
                                                               "; the ", name, " sampler takes none")));
    }
  }
}

// Here of a walk that ends above ε, with noise.
TEST(Sampling, ImagesAreInRangeWhateverTheWalkLeaves) {
  const Model model = test::tiny_model(kStudent, 3);
  const SamplerOptions noisy{.kind = SamplerKind::multistep, .sigmas = {80, 5}, .churn = {}};
  const SampleNoise noise = seeded_noise(kStudent, noisy, 7, 0, 2);
  EXPECT_EQ(test::largest(sample(model, noisy, noise, torch::tensor({0, 1}))), 1);
}

TEST(Sampling, NoiseDependsOnSeedAndSampleAlone) {
  const SamplerOptions options = choose_sampler({.steps = 3}, kStudent);
  const SampleNoise all = seeded_noise(kStudent, options, 7, 0, 5);
  const SampleNoise part = seeded_noise(kStudent, options, 7, 3, 2);
  EXPECT_TRUE(torch::equal(part.x_T, all.x_T.narrow(0, 3, 2)));
  EXPECT_TRUE(torch::equal(part.noise(1), all.noise(1).narrow(0, 3, 2)));
  EXPECT_FALSE(torch::equal(all.noise(0), all.noise(1)));
  EXPECT_FALSE(torch::equal(seeded_noise(kStudent, options, 8, 0, 5).x_T, all.x_T));
  const double std = seeded_noise(kStudent, options, 7, 0, 1000).x_T.std().item<double>();
  EXPECT_NEAR(std, 80, 5 * 80 / std::sqrt(2.0 * 16'000));
}

TEST(Sampling, AnImageDoesNotDependOnItsBatch) {
  for (const auto& options : {kStudent, kTeacher}) {
    const Model model = test::tiny_model(options, 3);
    const SamplerOptions sampler = choose_sampler({.steps = 4}, options);
    const Tensor labels = torch::tensor({0, 1, 2, 0});
    const Tensor all = sample(model, sampler, seeded_noise(options, sampler, 7, 0, 4), labels);
    EXPECT_EQ(all.sizes(), torch::IntArrayRef({4, 1, 4, 4}));
    EXPECT_LE(test::largest(all), 1);
    for (int64_t i = 0; i < 4; ++i) {
      const Tensor alone =
          sample(model, sampler, seeded_noise(options, sampler, 7, i, 1), labels.narrow(0, i, 1));
      EXPECT_LT(test::largest_difference(alone, all.narrow(0, i, 1)), 3e-5) << i;  // fp32 rounding
    }
  }
}

// Labels, levels and images differ from evaluation to evaluation; the last batch has another size.
TEST(Sampling, RecordedEvaluationsAreThoseThatRunAsTheyAre) {
  for (const auto& device : test::devices()) {
    const auto sampled = [&](bool recorded) {
      Model model(kTeacher, device, 3);
      test::perturb(model, 3);
      model.freeze();
      if (recorded) model.record_evaluations();
      const SamplerOptions sampler = choose_sampler({.steps = 5}, kTeacher);
      std::vector<Tensor> images;
      for (const int64_t size : {4, 4, 3}) {
        const auto first = static_cast<int64_t>(4 * images.size());
        images.push_back(sample(model, sampler, seeded_noise(kTeacher, sampler, 7, first, size),
                                torch::arange(first, first + size).remainder(3)));
      }
      return torch::cat(images);
    };
    testing::internal::CaptureStderr();
    const Tensor recorded = sampled(true);
    const bool says_why_not = testing::internal::GetCapturedStderr().find(
                                  "--cuda-graph: an evaluation cannot be recorded") != std::string::npos;
    EXPECT_EQ(says_why_not, DeviceGraph::obstacle(device).has_value());
    EXPECT_TRUE(torch::equal(recorded, sampled(false))) << device;
  }
}

TEST(Sampling, StepByStepItIsTheWholeWalk) {
  ModelOptions full_noise = kStudent;
  full_noise.sampling.full_noise = true;
  const Tensor labels = torch::tensor({0, 1, 2});
  const std::vector<double> sigmas = {80, 5, 0.8, 0.01};
  for (const auto& options : {kStudent, full_noise}) {
    const Model model = test::tiny_model(options, 3);
    const SamplerOptions whole = choose_sampler({.sigmas = sigmas}, options);
    const SampleNoise noise = seeded_noise(options, whole, 7, 0, 3);
    Tensor x = sample(model, choose_sampler({}, options), noise, labels);
    for (size_t i = 1; i < sigmas.size(); ++i) {
      const Tensor z = seeded_draws(options, 7, 0, 3)(static_cast<int64_t>(i) - 1);
      x = sample_next(model, x, sigmas[i], z, labels);
    }
    EXPECT_TRUE(torch::equal(x, sample(model, whole, noise, labels)));
  }
}

// Any callable can be walked: here the denoiser of a black image, which every sampler ends at.
TEST(Sampling, AWalkNeedsADenoiserOnlyAndCallsItAsOftenAsItSays) {
  for (const auto& [kind, name] : EnumNames<Sampler>::names) {
    int64_t calls = 0;
    const Denoiser black = [&](const Tensor& x, const Tensor&) {
      ++calls;
      return torch::full_like(x, -1);
    };
    if (kind == SamplerKind::flow_map) continue;
    const ModelOptions& model = model_for(kind);
    const SamplerOptions options = choose_sampler({.kind = kind}, model);
    const Tensor x = walk(black, options, seeded_noise(model, options, 7, 0, 2), model.sigma.min);
    EXPECT_LT(test::largest_difference(x, torch::full_like(x, -1)), 0.02) << name;
    EXPECT_EQ(calls, evaluations(options)) << name;
  }
}

TEST(Sampling, AFlowMapIsWalkedDownItsPathUnlessToldOtherwise) {
  const SamplerOptions once = choose_sampler({}, kMap);
  EXPECT_EQ(once.kind, SamplerKind::flow_map);
  expect_sigmas(once, {80, 0});
  EXPECT_EQ(evaluations(once), 1);
  // t = 80/81 in four equal parts, σ = t/(1 − t).
  const SamplerOptions four = choose_sampler({.steps = 4}, kMap);
  expect_sigmas(four, {80, 60.0 / 21, 40.0 / 41, 20.0 / 61, 0});
  EXPECT_EQ(evaluations(four), 4);
  expect_sigmas(choose_sampler({.sigmas = {80, 3}}, kMap), {80, 3, 0});
  EXPECT_EQ(choose_sampler({.kind = SamplerKind::multistep, .steps = 4}, kMap).sigmas, four.sigmas);
  const ModelOptions trig = test::tiny_options(Parameterization::trig_map);
  const SamplerOptions two = choose_sampler({.steps = 2}, trig);
  EXPECT_NEAR(two.sigmas[1], 0.5 * std::tan(std::atan(160.0) / 2), 1e-9);
  ModelOptions published = kMap;
  published.sampling.sigmas = {80, 1.4};
  expect_sigmas(choose_sampler({.steps = 2}, published), {80, 1.4, 0});
  expect_sigmas(choose_sampler({}, published), {80, 0});
}

TEST(Sampling, AFlowMapsSamplesAreItsOwnSteps) {
  const Model model = test::tiny_model(kMap, 3);
  const Tensor labels = torch::tensor({0, 1});
  const SamplerOptions two = choose_sampler({.steps = 2, .restart = 0.6}, kMap);
  const SampleNoise noise = seeded_noise(kMap, two, 7, 0, 2);
  const auto at = [](double sigma) { return torch::full({2}, sigma); };
  const double middle = two.sigmas[1];
  const FlowMap map = model.flow_map(labels);
  const Tensor between = map(noise.x_T, at(80), at(0.8 * middle)) + 0.6 * middle * noise.noise(0);
  const Tensor expected = map(between, at(middle), at(0)).clamp(-1, 1);
  EXPECT_LT(test::largest_difference(sample(model, two, noise, labels), expected), 1e-6);
  // And those of the consistency function that it is towards 0.
  const SamplerOptions anew = choose_sampler({.steps = 2, .restart = 1, .clamp = false}, kMap);
  const SamplerOptions multistep =
      choose_sampler({.kind = SamplerKind::multistep, .steps = 2, .clamp = false}, kMap);
  EXPECT_LT(
      test::largest_difference(sample(model, anew, noise, labels), sample(model, multistep, noise, labels)),
      1e-6);
}

TEST(Sampling, AMapIsGuidedAsItsMeanVelocityIs) {
  ModelOptions options = kMap;
  options.label_dropout = 0.1;
  const Model model = test::tiny_model(options, 3);
  const Tensor labels = torch::tensor({0, 1});
  const SamplerOptions once = choose_sampler({.guidance = {.weight = 2.5}}, options);
  EXPECT_EQ(evaluations(once), 2);
  const SampleNoise noise = seeded_noise(options, once, 7, 0, 2);
  const Path path = model.path();
  const FlowMap guided_by_hand = flow_of(path, [&](const Tensor& z, const Tensor& t, const Tensor& s) {
    const Tensor weak = model.mean_velocity(torch::full_like(labels, kNullClass))(z, t, s);
    return weak + 2.5 * (model.mean_velocity(labels)(z, t, s) - weak);
  });
  const Tensor expected = ending_at(guided_by_hand)(noise.x_T, torch::full({2}, 80.0)).clamp(-1, 1);
  EXPECT_LT(test::largest_difference(sample(model, once, noise, labels), expected), 1e-5);
}

TEST(Sampling, WhatIsForFlowMapsAloneIsAMistakeElsewhere) {
  EXPECT_THAT(
      mistake_of({.kind = SamplerKind::flow_map}),
      HasSubstr("the flow_map sampler needs a flow map, a network of two times, and this checkpoint is a "
                "consistency model (skip); use onestep or multistep"));
  EXPECT_THAT(mistake_of({.kind = SamplerKind::flow_map}, kTeacher),
              HasSubstr("the flow_map sampler needs a consistency model"));
  EXPECT_THAT(mistake_of({.restart = 0.5}), HasSubstr("--restart makes noise anew"));
  EXPECT_THAT(mistake_of({.restart = 1.5}, kMap), HasSubstr("--restart must lie in [0, 1], got 1.5"));
  EXPECT_THAT(mistake_of({.kind = Solver::heun}, kMap), HasSubstr("walks a diffusion model's ODE"));
}

// Multistep sampling ends at the level where the model is the identity.
TEST(Sampling, AWalkEndsAtTheModelsBoundary) {
  const RawNetwork network = [](const Tensor& x, const Tensor&) { return x + 17; };
  const Tensor x = normal({.seed = 1}, sample_range(0, 2), {1, 4, 4}).to(torch::kFloat64);
  for (const auto& [kind, name] : EnumNames<Parameterization>::names) {
    if (is_diffusion(kind)) continue;
    ModelOptions model = test::tiny_options(kind);
    const RawMap two_times = [&](const Tensor& z, const Tensor& t, const Tensor&) { return network(z, t); };
    const Denoiser f =
        is_flow_map(kind)
            ? ending_at(flow_of({*path_kind(kind), 0.5}, mean_velocity({*path_kind(kind), 0.5}, two_times)))
            : precondition(kind, model.sigma, 1000, network);
    const Tensor end = torch::full({2}, walk_end(model), torch::kFloat64);
    EXPECT_TRUE(torch::equal(f(x, end), x)) << name;
    EXPECT_EQ(choose_sampler({.steps = 2}, model).sigmas.back(), walk_end(model)) << name;
    EXPECT_EQ(choose_sampler({.indices = {0, 39}}, model).sigmas.back(), walk_end(model)) << name;
    model.sampling.full_noise = true;
    EXPECT_EQ(walk_end(model), 0) << name;
  }
}

}  // namespace
}  // namespace cm
