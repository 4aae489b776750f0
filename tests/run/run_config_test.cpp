#include "cm/run/run_config.h"

#include <gmock/gmock.h>

#include "run/read_run.h"
#include "support/mistakes_of.h"
#include "support/small_unet.h"

namespace cm {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::vector<std::string> mistakes_in_run(const std::string& text,
                                         const std::vector<std::string>& overrides = {}) {
  return mistakes_of([&] { read_run(text, overrides); });
}

TEST(RunConfig, EveryObjectiveRefusesTheSectionsOfAllOthers) {
  for (const auto& objective : all_names<ObjectiveKind>()) {
    for (const auto& section : all_names<ObjectiveKind>()) {
      const auto mistakes = mistakes_in_run(concat("objective: ", objective, "\n", section, ": {}\n"));
      const auto refusals = Contains(HasSubstr(
          concat(section, " belongs to objective ", section, ", but objective is ", objective, "; remove")));
      EXPECT_THAT(mistakes, refusals.Times(objective == section ? 0 : 1));
    }
  }
}

TEST(RunConfig, AMethodIsAskedWithTheConfigsOptionsAndSteps) {
  EXPECT_EQ(method_of(read_run("objective: cd\nteacher: {checkpoint: t}\ncd: {n: 12}\n")).last_levels, 12);
  const std::string ct = "objective: ct\nct: {levels: {schedule: progressive, s0: 2, s1: 150}}\n";
  EXPECT_EQ(method_of(read_run(ct)).last_levels, 151);
  RunConfig config;
  config.train_by(CdOptions{.n = 5});
  EXPECT_EQ(to_string(config.objective), "cd");
  EXPECT_EQ(method_of(config).last_levels, 5);
}

TEST(RunConfig, LpipsNeedsItsWeights) {
  const std::string ct = "objective: ct\nct:\n  distance: lpips\n";
  EXPECT_THAT(mistakes_in_run(ct + "lpips: {weights: w}\n"), ElementsAre());
  EXPECT_THAT(mistakes_in_run(ct),
              ElementsAre(AllOf(StartsWith("run.yaml:5:13: ct.distance lpips needs lpips.weights"),
                                HasSubstr("scripts/export_lpips.py --vgg16"))));
  EXPECT_THAT(mistakes_in_run("objective: ict\n", {"ict.distance=lpips"}),
              ElementsAre(StartsWith("override 'ict.distance=lpips': ict.distance lpips needs")));
}

TEST(RunConfig, LpipsWeightsWithoutTheirDistanceAreAMistake) {
  EXPECT_THAT(mistakes_in_run("objective: ct\nlpips:\n  weights: w\n"),
              ElementsAre("run.yaml:5:12: lpips.weights is not used by ct.distance l2; remove it, or set the "
                          "distance to lpips"));
  EXPECT_THAT(mistakes_in_run("objective: edm\nlpips: {weights: w}\n"),
              ElementsAre("run.yaml:4:18: lpips.weights is not used by objective edm; remove it"));
  EXPECT_THAT(mistakes_in_run("objective: ct\nct: {distance: lpips}\nlpips: {weights: w}\n",
                              {"ct.distance=l2", "lpips=null"}),
              ElementsAre());
}

TEST(RunConfig, ProgressiveDistillationHalvesAPowerOfTwo) {
  const std::string pd = "objective: pd\nteacher: {checkpoint: t}\n";
  EXPECT_THAT(mistakes_in_run(pd + "pd: {start_steps: 8}\n"), ElementsAre());
  EXPECT_THAT(
      mistakes_in_run(pd + "pd:\n  start_steps: 12\n"),
      ElementsAre("run.yaml:6:16: pd.start_steps must be a power of two, because each stage halves it, "
                  "got 12"));
  EXPECT_THAT(mistakes_in_run(pd, {"pd.steps_per_stage=0"}),
              ElementsAre(HasSubstr("pd.steps_per_stage must be in [1, 1000000000000], got 0")));
}

TEST(RunConfig, ProgressiveDistillationTrainsADenoiserFromATeacher) {
  EXPECT_THAT(mistakes_in_run("objective: pd\n"),
              ElementsAre(HasSubstr("teacher.checkpoint is needed by objective pd")));
  EXPECT_THAT(mistakes_in_run("objective: pd\nteacher: {checkpoint: t}\nparameterization: skip\n"),
              ElementsAre(HasSubstr("parameterization must be edm for objective pd, got 'skip'")));
  EXPECT_THAT(mistakes_in_run("objective: edm\npd: {start_steps: 8}\n"),
              ElementsAre(HasSubstr("pd belongs to objective pd, but objective is edm")));
}

TEST(RunConfig, ContinuousTimeTakesTheDistancesThatItHasLossesFor) {
  const std::string cd = "objective: continuous_cd\nteacher: {checkpoint: t}\ncontinuous_cd:\n";
  EXPECT_THAT(mistakes_in_run(cd + "  distance: l2\n"), ElementsAre());
  EXPECT_THAT(mistakes_in_run(cd + "  stop_gradient: false\n  distance: l1\n"), ElementsAre());
  EXPECT_THAT(
      mistakes_in_run(cd + "  distance: l1\n"),
      ElementsAre("run.yaml:6:13: continuous_cd.distance must be one of {l2, lpips} with stop_gradient, got "
                  "'l1'"));
  EXPECT_THAT(mistakes_in_run(cd + "  distance: lpips\n"),
              ElementsAre(HasSubstr("continuous_cd.distance lpips needs lpips.weights")));
}

TEST(RunConfig, ContinuousTrainingWithoutStopGradientIsBiased) {
  EXPECT_THAT(mistakes_in_run("objective: continuous_ct\ncontinuous_ct: {stop_gradient: true}\n"),
              ElementsAre());
  EXPECT_THAT(
      mistakes_in_run("objective: continuous_ct\ncontinuous_ct: {stop_gradient: false}\n"),
      ElementsAre("run.yaml:4:32: continuous_ct.stop_gradient must be true: without it the gradient of "
                  "consistency training is biased; continuous_cd can do without"));
}

TEST(RunConfig, ContinuousTimeNeedsItsTeacherAndAParameterizationWithADerivative) {
  EXPECT_THAT(mistakes_in_run("objective: continuous_cd\n"),
              ElementsAre(HasSubstr("teacher.checkpoint is needed by objective continuous_cd")));
  EXPECT_THAT(mistakes_in_run("objective: continuous_ct\nteacher: {checkpoint: t}\n"),
              ElementsAre(HasSubstr("teacher.checkpoint is not used by objective continuous_ct")));
  EXPECT_THAT(
      mistakes_in_run("objective: continuous_ct\nparameterization: piecewise\n"),
      ElementsAre(HasSubstr("parameterization must be skip for objective continuous_ct, got 'piecewise'")));
  EXPECT_THAT(
      mistakes_in_run("objective: ct\ncontinuous_ct: {weight: limit}\n"),
      ElementsAre(HasSubstr("continuous_ct belongs to objective continuous_ct, but objective is ct")));
}

TEST(RunConfig, TuningNeedsWeightsToStartFrom) {
  EXPECT_THAT(mistakes_in_run("objective: ect\ninit: {checkpoint: t}\n"), ElementsAre());
  EXPECT_THAT(
      mistakes_in_run("objective: ect\n"),
      ElementsAre("run.yaml: init.checkpoint is needed by objective ect: the diffusion run or weight file "
                  "that it tunes; from random weights, train by ict"));
  EXPECT_THAT(mistakes_in_run("objective: ict\nect: {q: 2}\n"),
              ElementsAre(StartsWith("run.yaml:4:1: ect belongs to objective ect, but objective is ict")));
  EXPECT_THAT(
      mistakes_in_run("objective: tcm\n"),
      ElementsAre("run.yaml: init.checkpoint is needed by objective tcm: the consistency run or weight "
                  "file of its first stage, trained by ect"));
  EXPECT_THAT(mistakes_in_run("objective: tcm\ninit: {checkpoint: t}\ntcm: {transition: 0}\n"),
              ElementsAre(HasSubstr("tcm.transition must be above 0, got 0")));
  EXPECT_THAT(
      mistakes_in_run("objective: tcm\ninit: {checkpoint: t}\ntcm: {transition: 8}\nsigma: {max: 8}\n"),
      ElementsAre(HasSubstr("tcm.transition must be below sigma.max, 8, got 8")));
  EXPECT_THAT(mistakes_in_run("objective: tcm\ninit: {checkpoint: t}\ntcm: {boundary_share: 1}\n"),
              ElementsAre(HasSubstr("tcm.boundary_share must be in [0, 1), got 1")));
  EXPECT_THAT(mistakes_in_run("objective: ect\ninit: {checkpoint: t}\nect: {q: 1}\n"),
              ElementsAre(HasSubstr("ect.q must be above 1, got 1")));
}

TEST(RunConfig, PairsAndTheMethodThatLearnsFromThemGoTogether) {
  const std::string pairs = "objective: kd\n";
  EXPECT_THAT(mistakes_in_run(pairs, {"data.kind=pairs"}), ElementsAre());
  EXPECT_THAT(mistakes_in_run(pairs),
              ElementsAre(HasSubstr(
                  "data.kind must be pairs for objective kd, got 'digits'; cm-sample --pairs makes them")));
  EXPECT_THAT(mistakes_in_run("objective: ict\n", {"data.kind=pairs"}),
              ElementsAre(HasSubstr("data.kind pairs are for objective kd, but objective is ict; name the")));
  EXPECT_THAT(
      mistakes_in_run(pairs, {"data.kind=pairs", "train.label_dropout=0.1"}),
      ElementsAre(HasSubstr("train.label_dropout must be 0 for pairs, which say nothing of the null")));
  EXPECT_THAT(mistakes_in_run(pairs, {"data.kind=pairs", "data.horizontal_flip=true"}),
              ElementsAre(HasSubstr("data.horizontal_flip must be false for pairs")));
  EXPECT_THAT(
      mistakes_in_run(pairs, {"data.kind=pairs", "teacher.checkpoint=t", "teacher.guidance=2"}),
      ElementsAre(HasSubstr("teacher.checkpoint is not used by objective kd; to start from its weights"),
                  HasSubstr("has no teacher; cm-sample --guidance guides what it learns from")));
}

TEST(RunConfig, GuidanceIsATeachers) {
  const std::string cd = "objective: cd\nteacher: {checkpoint: t, guidance: 2}\n";
  EXPECT_THAT(mistakes_in_run(cd), ElementsAre());
  EXPECT_EQ(read_run(cd).teacher.guidance.weight, 2);
  EXPECT_EQ(read_run("objective: cd\nteacher: {checkpoint: t}\n").teacher.guidance.weight, 1);
  EXPECT_EQ(read_run(cd, {"teacher.guidance_sigma_max=3"}).teacher.guidance, (Guidance{2, 0, 3.0}));
  EXPECT_THAT(
      mistakes_in_run(cd, {"teacher.guidance=1", "teacher.guide=weaker"}),
      ElementsAre(HasSubstr("teacher.guide has no effect without teacher.guidance; set that to a weight")));
  EXPECT_THAT(mistakes_in_run(cd, {"teacher.guidance=-1"}),
              ElementsAre(HasSubstr("teacher.guidance must be at least 0, got -1")));
  EXPECT_THAT(
      mistakes_in_run("objective: ct\nteacher:\n  guidance: 2\n"),
      ElementsAre("run.yaml:5:13: teacher.guidance is not used by objective ct, which has no teacher; "
                  "cm-sample --guidance guides its samples"));
  EXPECT_THAT(mistakes_in_run("objective: ict\ninit: {checkpoint: t, guidance: 2}\n"),
              ElementsAre(HasSubstr("unknown key 'init.guidance'")));
}

TEST(RunConfig, LabelDropoutIsAProbability) {
  EXPECT_EQ(read_run("objective: edm\n", {"train.label_dropout=0.1"}).train.label_dropout, 0.1);
  EXPECT_THAT(mistakes_in_run("objective: edm\n", {"train.label_dropout=1"}),
              ElementsAre(HasSubstr("train.label_dropout must be in [0, 1), got 1")));
}

TEST(RunConfig, TrigflowHasItsOwnParameterizations) {
  EXPECT_THAT(mistakes_in_run("objective: edm\nparameterization: trig_diffusion\n"), ElementsAre());
  EXPECT_THAT(mistakes_in_run("objective: sct\nparameterization: skip\n"),
              ElementsAre("run.yaml:4:19: parameterization must be trig for objective sct, got 'skip'"));
  EXPECT_THAT(mistakes_in_run("objective: scd\n"),
              ElementsAre(HasSubstr("teacher.checkpoint is needed by objective scd")));
  EXPECT_THAT(mistakes_in_run("objective: sct\nscd: {p_std: 1}\n"),
              ElementsAre(HasSubstr("scd belongs to objective scd, but objective is sct")));
  EXPECT_THAT(
      mistakes_in_run("objective: sct\n", {"model.double_norm=true", "model.scale_shift_norm=false"}),
      ElementsAre(HasSubstr("model.double_norm normalises scale and shift: it needs scale_shift_norm true")));
}

// Collects the whole numbers of a config that have no upper end, and the lists of them.
struct EndlessNumbers {
  std::string section;
  std::vector<std::string>& found;

  template <class T>
  void operator()(const std::string& key, T& value, std::string_view, const Range& range = {}) {
    const std::string full = dotted(section, key);
    if constexpr (HasFields<T>) {
      EndlessNumbers within{full, found};
      fields(within, value);
    } else if constexpr (is_optional_section<T>) {
      auto inner = value.value_or(typename T::value_type());
      (*this)(key, inner, "");
    } else if constexpr (std::is_same_v<T, int64_t> || std::is_same_v<T, std::optional<int64_t>> ||
                         std::is_same_v<T, std::vector<int64_t>>) {
      // Sums and products of a few must fit int64, and doubles hold each.
      if (!(range.min >= 0 && range.max <= kLargestSeed)) found.push_back(full);
    }
  }
};

template <class Options>
std::vector<std::string> endless_numbers() {
  std::vector<std::string> found;
  EndlessNumbers visitor{"", found};
  Options options;
  fields(visitor, options);
  return found;
}

TEST(RunConfig, EveryWholeNumberHasAnUpperEnd) {
  EXPECT_THAT(endless_numbers<RunConfig>(), ElementsAre());
  EXPECT_THAT(endless_numbers<ModelOptions>(), ElementsAre());  // of weight files
}

TEST(RunConfig, NumbersThatWouldFillTheMemoryAreMistakes) {
  const std::string cd = "objective: cd\nteacher: {checkpoint: t}\n";
  EXPECT_THAT(mistakes_in_run(cd + "cd: {n: 2147483648}\n"),
              ElementsAre("run.yaml:5:9: cd.n must be in [2, 1048576], got 2147483648"));
  EXPECT_THAT(mistakes_in_run(cd, {"model.res_blocks=1000000000", "model.channel_mult=[1e300]",
                                   "train.batch_size=9223372036854775807"}),
              ElementsAre(HasSubstr("model.res_blocks must be in [1, 64], got 1000000000"),
                          HasSubstr("model.channel_mult[0] must be in (0, 1024], got 1e300"),
                          HasSubstr("train.batch_size must be in [1, 1048576], got 9223372036854775807")));
}

// All keys of all U-Nets, with their defaults: the resolved configs of an earlier version.
TEST(RunConfig, AResolvedConfigMayHoldTheKeysOfOtherArchitectures) {
  for (const auto& name : test::architectures()) {
    const RunConfig config =
        read_run("objective: ct\n", {"model.head_channels=16", "model.scale_shift_norm=null",
                                     "model.resblock_updown=true", "model.conv_resample=true",
                                     "model.fourier_scale=null", concat("model.architecture=", name)});
    EXPECT_EQ(name_of(*config.model), name);
  }
}

TEST(RunConfig, AnOptionOfAnotherArchitectureIsAMistake) {
  EXPECT_THAT(
      mistakes_in_run("objective: ct\n", {"model.fourier_scale=0.02", "model.channel_mult=[1]"}),
      Contains(HasSubstr("model.fourier_scale belongs to architecture ncsnpp, but architecture is adm; "
                         "remove it")));
  EXPECT_THAT(
      mistakes_in_run("objective: ct\n", {"model.resblock_updown=false", "model.architecture=ncsnpp"}),
      Contains(HasSubstr("model.resblock_updown belongs to architecture adm, but architecture is ncsnpp")));
  EXPECT_THAT(mistakes_in_run("objective: ct\n", {"model.architecture=dit", "model.dropout=0.1"}),
              Contains(HasSubstr("model.dropout belongs to architecture adm, but architecture is dit")));
}

}  // namespace
}  // namespace cm
