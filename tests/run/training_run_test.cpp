#include "cm/run/training_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>

#include "cm/base/text.h"
#include "cm/kernels/normal.h"
#include "cm/training/train_loop.h"
#include "cm/yaml/field_help.h"
#include "small_runs.h"
#include "support/closeness.h"

namespace cm {
namespace {

using testing::HasSubstr;
using testing::Not;

// The run's last step in numbers: losses, the length of their gradient, noise levels, N(k) and μ(k).
Tensor last_step_of(const std::string& objective, const std::vector<std::string>& overrides) {
  TrainingRun run(tiny_digits_run(objective, overrides), torch::kCPU);
  // New networks say 0, wherever they are told to go.
  if (is_flow_map(run.student().options().parameterization)) test::perturb(run.student(), 22);
  const int64_t step = run.config().train.steps - 1;
  const RandomKey key{.seed = 21, .purpose = Purpose::evaluation};
  const Tensor noise = normal(key, sample_range(0, 4), {1, 8, 8});
  const Batch images{noise.clamp(-1, 1), torch::tensor({0, 3, 7, 9}), 80 * noise.flip(0)};
  const TrainingBatch batch = test::training_batch(images, step);
  const CurriculumPoint point = run.objective().curriculum(step);
  const Tensor losses = run.objective().losses(batch);
  losses.sum().backward();
  const Tensor length = gradient_norm(run.student().parameters());
  return torch::cat({losses.detach().to(torch::kFloat64), length.to(torch::kFloat64).unsqueeze(0),
                     run.objective().sigmas(step, batch.samples),
                     torch::tensor({static_cast<double>(point.levels.value_or(0)), point.decay.value_or(0)},
                                   torch::kFloat64)});
}

// Other values of an option, of which some are its own or out of its range.
std::vector<std::string> other_values(const FieldHelp& field) {
  const size_t brace = field.type.find('{');
  if (brace == std::string::npos) return {"true", "false", "1", "3", "0.1", "4", "20", "8"};
  std::vector<std::string> names;
  std::istringstream words(field.type.substr(brace + 1, field.type.find('}') - brace - 1));
  for (std::string word; words >> word;) names.push_back(word.substr(0, word.find(',')));
  return names;
}

// Whether a value of the option changes the last step. `given`: overrides that it needs to count.
bool changes_training(const FieldHelp& field, const std::string& objective,
                      const std::vector<std::string>& given) {
  const Tensor before = last_step_of(objective, given);
  for (const std::string& value : other_values(field)) {
    std::vector<std::string> overrides = given;
    overrides.push_back(concat(field.key, "=", value));
    try {
      if (test::elementwise_difference(last_step_of(objective, overrides), before) > 1e-4) return true;
    } catch (const InputError&) {  // no value of this option
    }
  }
  return false;
}

const std::map<std::string, std::vector<std::string>> kNeeded = {
    {"continuous_cd.distance", {"continuous_cd.stop_gradient=false"}},
    {"pd.steps_two", {"pd.start_steps=2"}},
    {"tcm.q", {"tcm.first_stage=0"}},
    {"tcm.steps_per_stage", {"tcm.first_stage=0"}},
    {"mean_flow.guidance.omega", {"train.label_dropout=0.5"}},
    {"mean_flow.guidance.kappa", {"train.label_dropout=0.5"}},
    {"mean_flow.guidance.t_min", {"train.label_dropout=0.5", "mean_flow.guidance.omega=2"}},
    {"mean_flow.guidance.t_max", {"train.label_dropout=0.5", "mean_flow.guidance.omega=2"}},
    {"alpha_flow.guidance.omega", {"train.label_dropout=0.5"}},
    {"alpha_flow.guidance.kappa", {"train.label_dropout=0.5"}},
    {"alpha_flow.guidance.t_min", {"train.label_dropout=0.5", "alpha_flow.guidance.omega=2"}},
    {"alpha_flow.guidance.t_max", {"train.label_dropout=0.5", "alpha_flow.guidance.omega=2"}},
    {"mean_flow.order", {"mean_flow.p_mean_s=1"}},
    {"alpha_flow.order", {"alpha_flow.p_mean_s=1"}},
    {"eulerian.order", {"eulerian.p_mean_s=1"}},
    {"alpha_flow.alpha.start", {"alpha_flow.alpha.sharpness=3"}},
    {"alpha_flow.alpha.end", {"alpha_flow.alpha.sharpness=3"}},
    {"alpha_flow.alpha.clamp", {"alpha_flow.alpha.sharpness=10"}},
    {"imm.p_mean", {"imm.times=log_normal"}},
    {"imm.p_std", {"imm.times=log_normal"}},
    {"imm.group", {"imm.decrement=3", "imm.group=2"}},
};

// Of consistency training in continuous time: it has one value on the CPU without LPIPS. A new target network
// says nothing that could be cut.
const std::set<std::string> kWithoutAlternative = {"continuous_ct.stop_gradient", "continuous_ct.distance",
                                                   "shortcut.clip"};

TEST(TrainingRun, EveryOptionOfAnObjectiveChangesWhatItTrains) {
  int64_t options = 0;
  for (const FieldHelp& field : field_help<RunConfig>()) {
    const std::string section = field.key.substr(0, field.key.find('.'));
    if (!from_name<ObjectiveKind>(section) || field.type.starts_with("a section")) continue;
    if (kWithoutAlternative.contains(field.key)) continue;
    const auto needed = kNeeded.find(field.key);
    EXPECT_TRUE(changes_training(field, section,
                                 needed == kNeeded.end() ? std::vector<std::string>{} : needed->second))
        << field.key;
    ++options;
  }
  EXPECT_GT(options, 40);
}

TEST(TrainingRun, AConfigMadeInCodeIsJudgedAsOneOfAFile) {
  RunConfig config;
  config.data.path = test::kDigits;
  config.model = AdmOptions();
  config.train_by(CdOptions{.n = 5});
  EXPECT_THAT(mistake_of(config), HasSubstr("teacher.checkpoint is needed by objective cd"));
}

TEST(TrainingRun, AllNetworksComputeInTheAskedType) {
  TrainingRun run(tiny_digits_run("cd", {"train.dtype=bf16"}), torch::kCPU);
  EXPECT_EQ(run.student().network().compute_type(), ComputeType::bf16);
  EXPECT_EQ(run.trainer().target()->network().compute_type(), ComputeType::bf16);
}

void expect_equal_weights(const NamedTensors& actual, const NamedTensors& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (const auto& [name, weights] : expected) EXPECT_TRUE(torch::equal(actual.at(name), weights)) << name;
}

TEST(TrainingRun, StudentAndTargetStartFromTheTeacherOrFromInit) {
  const NamedTensors teacher = load_weight_file(model_file(Parameterization::edm)).weights;
  TrainingRun distilled(tiny_digits_run("cd", {}), torch::kCPU);
  expect_equal_weights(distilled.student().named_weights(), teacher);
  expect_equal_weights(distilled.trainer().target()->named_weights(), teacher);

  ModelOptions wide = digits_model();
  test::unet_of(wide.network).channels = 64;
  const std::string init = weight_file_of(wide, "wide");
  const TrainingRun tuned(tiny_digits_run("cd", {"model=null", concat("init.checkpoint=", init)}),
                          torch::kCPU);
  expect_equal_weights(tuned.student().named_weights(), load_weight_file(init).weights);
}

// Its network is the teacher's or init's where the config has none, but for the dropout.
TEST(TrainingRun, ANetworkOfAnotherRunIsTakenWithoutItsDropout) {
  const TrainingRun run(tiny_digits_run("cd", {"model=null"}), torch::kCPU);
  EXPECT_EQ(common_options(*run.config().model).dropout, 0);
  EXPECT_EQ(common_options(run.student().options().network).dropout, 0);
}

TEST(TrainingRun, RandomWeightsComeFromTheSeed) {
  const auto weights = [](const std::string& seed) {
    const TrainingRun run(tiny_digits_run("ict", {concat("train.seed=", seed)}), torch::kCPU);
    return run.student().parameters().front();
  };
  EXPECT_TRUE(torch::equal(weights("3"), weights("3")));
  EXPECT_FALSE(torch::equal(weights("3"), weights("4")));
}

TEST(TrainingRun, TheSamplingGridIsTheObjectivesUnlessGiven) {
  const auto grid = [](const std::vector<std::string>& overrides) {
    return TrainingRun(tiny_digits_run("cd", overrides), torch::kCPU).student().options().sampling.grid;
  };
  EXPECT_EQ(grid({"cd.n=12"}), 12);
  EXPECT_EQ(grid({"cd.n=12", "sampling.grid=40"}), 40);
}

// Two starts told from one another by a student that has forgotten both.
TEST(TrainingRun, AStartThatIsKeptStaysWhileTheStudentChanges) {
  const ModelOptions options = digits_model(Parameterization::skip);
  const test::TemporaryFolder folder;
  save_weights(folder / "other", options, test::tiny_model(options, 2).named_weights());
  const auto losses_with = [](const std::vector<std::string>& overrides) {
    TrainingRun run(tiny_digits_run("tcm", overrides), torch::kCPU);
    const torch::NoGradGuard guard;
    for (Tensor& weights : run.student().parameters()) weights.zero_();
    const Batch images{torch::zeros({4, 1, 8, 8}), torch::tensor({0, 3, 7, 9})};
    return run.objective().losses(test::training_batch(images, 0));
  };
  const Tensor losses = losses_with({});
  EXPECT_TRUE(torch::equal(losses_with({}), losses));
  const std::string other = concat("init.checkpoint=", (folder / "other").string());
  EXPECT_GT(test::largest_difference(losses_with({other}), losses), 0.1);
  const TrainingRun run(tiny_digits_run("tcm", {}), torch::kCPU);
  EXPECT_THAT(run.summary(), HasSubstr("averages, start; activations"));
}

// Four copies of a student: weights, gradients and two moments.
TEST(TrainingRun, TheSummaryCountsWhatTheRunHolds) {
  const auto memory = [](const std::string& objective, double copies) {
    const TrainingRun run(tiny_digits_run(objective, {"ema.rates=[0.5, 0.9, 0.99]"}), torch::kCPU);
    const auto parameters = static_cast<double>(parameter_count(run.student().network()));
    EXPECT_THAT(run.summary(),
                HasSubstr(concat("\nmemory      ", human_bytes(4 * copies * parameters), " for")));
  };
  memory("edm", 4 + 3);
  memory("ct", 4 + 3 + 1);
  memory("cd", 4 + 3 + 2);
  memory("tcm", 4 + 3 + 1);
}

TEST(TrainingRun, TheSummarySaysThatACpuIsSlowInHalfPrecision) {
  const auto summary = [](const std::string& type) {
    return TrainingRun(tiny_digits_run("edm", {concat("train.dtype=", type)}), torch::kCPU).summary();
  };
  for (const std::string type : {"bf16", "fp16"}) {
    EXPECT_THAT(summary(type), HasSubstr(concat("\nproducts    in ", type, ", which on a CPU is slower")));
  }
  for (const std::string type : {"fp32", "tf32"}) EXPECT_THAT(summary(type), Not(HasSubstr("products")));
}

TEST(TrainingRun, EveryTeacherIsGuided) {
  for (const auto& [kind, name] : EnumNames<ObjectiveKind>::names) {
    if (!method_by_default(kind).needs_teacher) continue;
    const std::string objective(name);
    const Tensor guided = last_step_of(objective, {"teacher.guidance=3"});
    EXPECT_GT(test::elementwise_difference(guided, last_step_of(objective, {})), 1e-4) << objective;
  }
}

TEST(TrainingRun, AStudentOfPairsHasLearnedTheirGuidance) {
  const TrainingRun run(tiny_digits_run("kd", {}), torch::kCPU);
  EXPECT_EQ(run.student().options().guidance, 3);
  EXPECT_EQ(run.student().options().image.classes, 10);
  EXPECT_EQ(TrainingRun(tiny_digits_run("cd", {}), torch::kCPU).student().options().guidance, std::nullopt);
}

TEST(TrainingRun, AStudentOfPairsStartsFromInit) {
  const std::string init = model_file(Parameterization::edm);
  const TrainingRun run(tiny_digits_run("kd", {"model=null", concat("init.checkpoint=", init)}), torch::kCPU);
  expect_equal_weights(run.student().named_weights(), load_weight_file(init).weights);
}

TEST(TrainingRun, AModelOfLatentsSaysSo) {
  TrainingRun run(latents_config({"train.label_dropout=0.1"}), torch::kCPU);
  const ModelOptions& options = run.student().options();
  EXPECT_EQ(options.image.channels, 2);
  EXPECT_EQ(options.image.size, 4);
  ASSERT_TRUE(options.latents);
  EXPECT_EQ(options.latents->vae_hash, "abc");
  EXPECT_EQ(options.latents->pixels, PixelRange::unit);
  EXPECT_EQ(options.latents->std, (std::vector<double>{1.3, 1.3}));
  EXPECT_EQ(options.latents->scale, 0.5);
  EXPECT_FALSE(run.codec().of_latents());
  EXPECT_THAT(run.summary(),
              HasSubstr("latents     of the VAE abc…; sample pictures show their first channels"));
  EXPECT_FALSE(TrainingRun(tiny_digits_run("edm", {}), torch::kCPU).student().options().latents);
  const Tensor picture = preview_picture(run.trainer(), run.config().train, run.codec());
  EXPECT_EQ(picture.size(0), 1);
}

TEST(TrainingRun, LatentsArePartOfWhatATeacherAndAStartMustShare) {
  ModelOptions pixels = digits_model();
  pixels.image = {.channels = 2, .size = 4, .classes = 2};
  ModelOptions latents = pixels;
  latents.latents.emplace();
  latents.latents->pixels = PixelRange::unit;
  latents.latents->scale = 0.18215;
  const auto named = [&](const char* key, const ModelOptions& options, const std::string& name) {
    return concat(key, "=", weight_file_of(options, name));
  };
  EXPECT_THAT(mistake_of(latents_config({"objective=cd", named("teacher.checkpoint", pixels, "of pixels")})),
              HasSubstr(": is a model of pixels, not of latents, as data gives"));
  EXPECT_THAT(mistake_of(latents_config({"objective=cd", named("teacher.checkpoint", latents, "otherwise")})),
              HasSubstr(": is a model of latents that are normalised as (z − 0) · 0.18215 / 1, not"));
  EXPECT_THAT(mistake_of(latents_config({named("init.checkpoint", pixels, "of pixels")})),
              HasSubstr("init.checkpoint"));
  ModelOptions of_digits = digits_model();
  of_digits.latents.emplace();
  EXPECT_THAT(mistake_of(tiny_digits_run("edm", {named("init.checkpoint", of_digits, "of latents")})),
              HasSubstr(": is a model of latents, not of pixels, as data gives"));
}

// Its weights are written with each checkpoint, and the next stage's are the student's.
TEST(TrainingRun, ATeacherThatStagesReplaceKeepsItsWeightsWhereOthersAreScaled) {
  ModelOptions options = digits_model();
  Edm2Options network;
  network.channels = 32;
  network.channel_mult = {1};
  network.head_channels = 32;
  network.res_blocks = 1;
  network.attention_resolutions = {};
  options.network = network;
  const std::string file = weight_file_of(options, "edm2");
  TrainingRun run(tiny_digits_run("pd", {"model.architecture=edm2", "model.head_channels=32",
                                         concat("teacher.checkpoint=", file)}),
                  torch::kCPU);
  expect_equal_weights(run.trainer().stage_teacher()->named_weights(), load_weight_file(file).weights);
}

TEST(TrainingRun, ATeacherThatStagesReplaceKeepsItsFp32Weights) {
  const NamedTensors teacher = load_weight_file(model_file(Parameterization::edm)).weights;
  for (const std::string type : {"fp16", "bf16"}) {
    TrainingRun run(tiny_digits_run("pd", {concat("train.dtype=", type)}), torch::kCPU);
    const Model* held = run.trainer().stage_teacher();
    ASSERT_NE(held, nullptr);
    EXPECT_EQ(to_string(held->network().compute_type()), type);
    for (const auto& [name, weights] : held->named_weights()) {
      EXPECT_EQ(weights.scalar_type(), torch::kFloat32) << name;
    }
    expect_equal_weights(held->named_weights(), teacher);
  }
}

}  // namespace
}  // namespace cm
