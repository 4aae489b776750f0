#include "src/run/run_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/text.h"
#include "small_runs.h"

namespace cm {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(RunChecks, ATeacherOfOtherImagesIsAMistake) {
  const auto mistake = [](const ImageSpec& image) {
    ModelOptions options = digits_model();
    options.image = image;
    const std::string name = concat(image.channels, "-", image.size, "-", image.classes);
    return mistake_of(tiny_digits_run("cd", {concat("teacher.checkpoint=", weight_file_of(options, name))}));
  };
  const auto than_data_gives = HasSubstr(") than data gives (1 × 8 × 8, 10 classes)");
  EXPECT_THAT(mistake({.channels = 3, .size = 8, .classes = 10}),
              AllOf(HasSubstr("was trained on other images (3 × 8 × 8, 10 classes"), than_data_gives));
  EXPECT_THAT(mistake({.channels = 1, .size = 16, .classes = 10}), than_data_gives);
  EXPECT_THAT(mistake({.channels = 1, .size = 8, .classes = 9}), than_data_gives);
}

std::string start_mistake(const ModelOptions& start, const std::string& name,
                          const std::vector<std::string>& more = {}) {
  std::vector<std::string> overrides = {concat("init.checkpoint=", weight_file_of(start, name))};
  overrides.insert(overrides.end(), more.begin(), more.end());
  return mistake_of(tiny_digits_run("tcm", overrides));
}

TEST(RunChecks, AStartThatIsKeptIsAConsistencyModelOfTheseImages) {
  EXPECT_THAT(
      start_mistake(digits_model(), "edm"),
      HasSubstr("is a diffusion model (edm); objective tcm needs a consistency model (skip); train one"));
  EXPECT_THAT(
      start_mistake(digits_model(Parameterization::piecewise), "piecewise"),
      HasSubstr("is a consistency model (piecewise); objective tcm needs a consistency model (skip)"));
  ModelOptions start = digits_model(Parameterization::skip);
  start.image.classes = 9;
  EXPECT_THAT(
      start_mistake(start, "nine"),
      AllOf(HasSubstr("init.checkpoint "), HasSubstr("was trained on other images (1 × 8 × 8, 9 classes)"
                                                     " than data gives (1 × 8 × 8, 10 classes)")));
  start = digits_model(Parameterization::skip);
  start.label_dropout = 0;
  EXPECT_THAT(start_mistake(start, "sure", {"train.label_dropout=0.1"}),
              HasSubstr("was trained without it and can't teach the null class; set it to 0"));
  EXPECT_THAT(start_mistake(start, "sure", {"model.channels=64"}), HasSubstr("sure: "));
}

TEST(RunChecks, PairsStartWhereTheirStudentDoes) {
  EXPECT_THAT(mistake_of(tiny_digits_run("kd", {"sigma.max=40"})),
              HasSubstr(": its pairs start at sigma 80, but sigma.max is 40; set sigma.max=80"));
}

TEST(RunChecks, LatentsThatAreNotWhatTheConfigSaysAreRefused) {
  EXPECT_THAT(mistake_of(latents_config({"sigma.data=20"})),
              HasSubstr("its latents, normalised by data.latents, have a root mean square of 0."));
}

TEST(RunChecks, ATeacherIsADiffusionModelAndADistilledOneThatOfTheNextStage) {
  const auto mistake = [](const std::string& objective, const std::string& teacher) {
    return mistake_of(tiny_digits_run(objective, {concat("teacher.checkpoint=", teacher)}));
  };
  EXPECT_THAT(mistake("cd", model_file(Parameterization::skip)),
              HasSubstr(": is a consistency model (skip); a diffusion model is needed"));
  ModelOptions distilled = digits_model();
  distilled.distilled_steps = 4;
  const std::string file = weight_file_of(distilled, "distilled");
  EXPECT_THAT(mistake("cd", file), HasSubstr("was distilled to 4 sampling steps and is a denoiser at those "
                                             "levels only; name the model that was distilled"));
  EXPECT_THAT(mistake("pd", file), HasSubstr("; pd.start_steps must be 2, got "));
  const TrainingRun next(tiny_digits_run("pd", {concat("teacher.checkpoint=", file), "pd.start_steps=2"}),
                         torch::kCPU);
  EXPECT_EQ(next.student().options().image.classes, 10);
}

TEST(RunChecks, WhereLabelsAreDroppedTheTeacherAndItsGuideKnowTheNullClass) {
  ModelOptions sure = digits_model();
  sure.label_dropout = 0;
  const std::string file = weight_file_of(sure, "sure teacher");
  const auto config = [](std::vector<std::string> overrides) {
    overrides.emplace_back("train.label_dropout=0.1");
    return tiny_digits_run("cd", overrides);
  };
  EXPECT_NO_THROW(TrainingRun(config({}), torch::kCPU));
  EXPECT_THAT(mistake_of(config({concat("teacher.checkpoint=", file)})),
              HasSubstr("was trained without it and can't teach the null class; set it to 0"));
  EXPECT_THAT(mistake_of(config({concat("teacher.guide=", file), "teacher.guidance=2"})),
              HasSubstr("was trained without label dropout and does not know the null class"));
}

TEST(RunChecks, LpipsComparesPixelsOfThreeChannels) {
  const std::vector<std::string> lpips = {"objective=ict", "ict.distance=lpips", "lpips.weights=none"};
  EXPECT_THAT(mistake_of(tiny_digits_run("ict", lpips)),
              HasSubstr("ict.distance: lpips compares images of 3 channels, "));
  EXPECT_THAT(mistake_of(latents_config(lpips)), HasSubstr("ict.distance: lpips compares pixels, and "));
}

TEST(RunChecks, ANetworkOfTwoTimesStartsFlowMapsAlone) {
  ModelOptions map = digits_model(Parameterization::linear_map);
  common_options(map.network).second_time = true;
  const std::string init = concat("init.checkpoint=", weight_file_of(map, "map"));
  EXPECT_THAT(
      mistake_of(tiny_digits_run("ict", {init})),
      HasSubstr(": is a flow map, whose network has two times; objective ict trains a network of one"));
  EXPECT_NO_THROW(TrainingRun(tiny_digits_run("mean_flow", {init}), torch::kCPU));
}

TEST(RunChecks, GuidanceInTheTargetNeedsTheNullClass) {
  const std::string guidance = "mean_flow.guidance.omega=2";
  EXPECT_THAT(mistake_of(tiny_digits_run("mean_flow", {guidance})),
              HasSubstr("mean_flow.guidance: leads away from the network's answer without a class"));
  EXPECT_NO_THROW(
      TrainingRun(tiny_digits_run("mean_flow", {guidance, "train.label_dropout=0.1"}), torch::kCPU));
}

TEST(RunChecks, RecomputedBlocksAreNotDifferentiatedTwice) {
  const std::string twice = "continuous_cd.stop_gradient=false";
  EXPECT_THAT(
      mistake_of(tiny_digits_run("continuous_cd", {twice, "model.activation_checkpointing=true"})),
      HasSubstr("continuous_cd.stop_gradient: false does not go with model.activation_checkpointing"));
  EXPECT_NO_THROW(TrainingRun(tiny_digits_run("continuous_cd", {twice}), torch::kCPU));
}

}  // namespace
}  // namespace cm
