#include "cm/training/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/training/weight_choice.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"
#include "support/tiny_run.h"
#include "training/save_checkpoint.h"

namespace cm {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::names_in;
using test::save_checkpoint;
using test::TemporaryFolder;
using test::TinyRun;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// Everything that a run's future depends on.
std::vector<Tensor> state_of(TinyRun& run) {
  std::vector<Tensor> state = run.student.parameters();
  const auto add = [&](const std::vector<Tensor>& tensors) {
    state.insert(state.end(), tensors.begin(), tensors.end());
  };
  if (run.trainer.target() != nullptr) add(run.target.parameters());
  if (run.trainer.stage_teacher() != nullptr) add(run.teacher.parameters());
  for (size_t i = 0; i < run.trainer.averages().states().size(); ++i) add(run.trainer.averages().average(i));
  if (run.trainer.learned() != nullptr) {
    for (const auto& [name, tensor] : weights_of(*run.trainer.learned())) state.push_back(tensor);
  }
  add(run.trainer.optimizer().first_moments());
  add(run.trainer.optimizer().second_moments());
  return state;
}

void expect_identical(TinyRun& a, TinyRun& b) {
  const auto left = state_of(a);
  const auto right = state_of(b);
  ASSERT_EQ(left.size(), right.size());
  for (size_t i = 0; i < left.size(); ++i) EXPECT_TRUE(torch::equal(left[i], right[i])) << i;
  EXPECT_EQ(a.trainer.steps_done(), b.trainer.steps_done());
  EXPECT_EQ(a.trainer.optimizer().updates(), b.trainer.optimizer().updates());
  EXPECT_EQ(a.trainer.skipped(), b.trainer.skipped());
}

TEST(Checkpoint, FourStepsAreTwoSavedAndTwoMore) {
  for (const auto method : test::kMethods) {
    SCOPED_TRACE(to_string(method));
    TinyRun whole(method);
    whole.train_to(4);

    const TemporaryFolder run;
    TinyRun first(method);
    first.train_to(2);
    first.trainer.set_skipped(1);
    save_checkpoint(run.path(), first.trainer, 0);

    TinyRun second(method);
    load_checkpoint(latest_checkpoint(run.path()).value(), second.trainer);
    expect_identical(first, second);
    second.trainer.set_skipped(0);
    second.train_to(4);
    expect_identical(whole, second);
  }
}

TEST(Checkpoint, InFp16TheLossScaleGoesOnToo) {
  TrainOptions options = test::tiny_train_options();
  options.dtype = ComputeType::fp16;
  // PD's teacher is made anew in step 3, so that the one which was loaded teaches from step 4 only if saved
  // after 3.
  for (const auto& [method, saved] :
       {std::pair{kObjective<CdOptions>, 2}, {kObjective<PdOptions>, 2}, {kObjective<PdOptions>, 3}}) {
    TinyRun whole(method, options);
    whole.compute_in(ComputeType::fp16);
    whole.trainer.loss_scale()->restore(512, 1996);
    whole.train_to(4);
    EXPECT_EQ(whole.trainer.loss_scale()->value().item<double>(), 1024);

    const TemporaryFolder run;
    TinyRun first(method, options);
    first.compute_in(ComputeType::fp16);
    first.trainer.loss_scale()->restore(512, 1996);
    first.train_to(saved);
    save_checkpoint(run.path(), first.trainer, 0);
    TinyRun second(method, options);
    second.compute_in(ComputeType::fp16);
    load_checkpoint(latest_checkpoint(run.path()).value(), second.trainer);
    second.train_to(4);
    expect_identical(whole, second);
    EXPECT_EQ(second.trainer.loss_scale()->value().item<double>(), 1024);
  }
}

// In a stage, at its end and in its first step, where the student becomes the teacher.
TEST(Checkpoint, ARunInStagesGoesOnFromAnyStep) {
  TinyRun whole(kObjective<PdOptions>);
  whole.train_to(7);
  for (const int64_t saved : {1, 2, 3, 4, 5, 6}) {
    SCOPED_TRACE(saved);
    const TemporaryFolder run;
    TinyRun first(kObjective<PdOptions>);
    first.train_to(saved);
    save_checkpoint(run.path(), first.trainer, 0);
    TinyRun second(kObjective<PdOptions>);
    load_checkpoint(latest_checkpoint(run.path()).value(), second.trainer);
    expect_identical(first, second);
    second.train_to(7);
    expect_identical(whole, second);
  }
}

TEST(Checkpoint, WeightsOfAStageSayItsStepsAndTheirAveragesItsAge) {
  const TemporaryFolder run;
  TinyRun pd(kObjective<PdOptions>);
  pd.train_to(2);
  save_checkpoint(run.path(), pd.trainer, 0);
  pd.train_to(3);
  save_checkpoint(run.path(), pd.trainer, 0);
  const fs::path first = run / "checkpoints/step-00000002";
  const fs::path second = run / "checkpoints/step-00000003";
  const auto steps_of = [](const fs::path& file) { return read_weight_header(file).options.distilled_steps; };
  for (const auto* file : {"model.safetensors", "ema-0.5.safetensors"}) {
    EXPECT_EQ(steps_of(first / file), 4) << file;
    EXPECT_EQ(steps_of(second / file), 2) << file;
  }
  EXPECT_EQ(steps_of(first / "teacher.safetensors"), std::nullopt);
  EXPECT_EQ(steps_of(second / "teacher.safetensors"), 4);
  EXPECT_EQ(checkpoint_summary(first)->averages.front().start_share, 0.25);
  EXPECT_EQ(checkpoint_summary(second)->averages.front().start_share, 0.5);  // one step into its stage
  EXPECT_EQ(checkpoint_summary(second)->step, 3);
  EXPECT_EQ(checkpoint_summary(second)->steps_in_stage, 1);
}

// NCSN++ has numbers that are drawn once and never trained; a network with others would be another function.
TEST(Checkpoint, BuffersComeBackWithEverySetOfWeights) {
  const auto frequencies = [](const Model& model) { return model.named_weights().at("map_noise.freqs"); };
  const auto new_run = [] {
    return TinyRun(kObjective<CdOptions>, test::tiny_train_options(), test::tiny_ncsnpp(/*dropout=*/0.2));
  };
  TinyRun whole = new_run();
  whole.train_to(4);

  const TemporaryFolder run;
  TinyRun first = new_run();
  first.train_to(2);
  save_checkpoint(run.path(), first.trainer, 0);
  const fs::path checkpoint = latest_checkpoint(run.path()).value();

  TinyRun second = new_run();
  frequencies(second.student).zero_();
  frequencies(second.target).zero_();
  load_checkpoint(checkpoint, second.trainer);
  EXPECT_TRUE(torch::equal(frequencies(second.student), frequencies(first.student)));
  EXPECT_TRUE(torch::equal(frequencies(second.target), frequencies(first.target)));
  second.train_to(4);
  expect_identical(whole, second);
  for (const auto* file : {"ema-0.5.safetensors", "ema-0.9.safetensors", "target.safetensors"}) {
    const Model loaded = load_model(checkpoint / file, torch::kCPU);
    EXPECT_TRUE(torch::equal(frequencies(loaded), frequencies(first.student))) << file;
  }
}

TEST(Checkpoint, HoldsAFileForEverySetOfWeights) {
  const TemporaryFolder run;
  TinyRun cd(kObjective<CdOptions>);
  save_checkpoint(run.path(), cd.trainer, 0);
  EXPECT_THAT(names_in(run / "checkpoints/step-00000000"),
              ElementsAre("ema-0.5.safetensors", "ema-0.9.safetensors", "model.safetensors",
                          "optimizer.safetensors", "state.json", "target.safetensors"));
}

TEST(Checkpoint, SummaryTellsStepAndRates) {
  const TemporaryFolder run;
  TinyRun edm(kObjective<EdmOptions>);
  edm.train_to(1);
  save_checkpoint(run.path(), edm.trainer, 0);
  const auto summary = checkpoint_summary(run / "checkpoints/step-00000001");
  EXPECT_EQ(summary->step, 1);
  ASSERT_EQ(summary->averages.size(), 2);
  EXPECT_EQ(summary->averages[0].rate, 0.5);
  EXPECT_EQ(summary->averages[1].rate, 0.9);
  EXPECT_EQ(checkpoint_summary(run.path()), std::nullopt);
}

// What the start weighs is told by the file, whatever the rate and the steps would say.
TEST(Checkpoint, AStartsShareIsKeptWithTheAverageAndByResume) {
  const TemporaryFolder run;
  const EmaOptions options{.rates = {0.999}, .warmup = EmaWarmup::tensorflow};
  TinyRun warm(kObjective<EdmOptions>, test::tiny_train_options(), test::tiny_network(/*dropout=*/0.2),
               options);
  warm.train_to(3);
  save_checkpoint(run.path(), warm.trainer, 0);
  const fs::path first = run / "checkpoints/step-00000003";
  const double share = 1. / 10 * 2 / 11 * 3 / 12;
  const auto saved = [](const fs::path& checkpoint) {
    return checkpoint_summary(checkpoint)->averages.front();
  };
  EXPECT_NEAR(saved(first).start_share, share, 1e-15);
  EXPECT_EQ(resolve_weights(first).file, first / "ema-0.999.safetensors");

  TinyRun resumed(kObjective<EdmOptions>, test::tiny_train_options(), test::tiny_network(/*dropout=*/0.2),
                  options);
  load_checkpoint(first, resumed.trainer);
  warm.train_to(5);
  resumed.train_to(5);
  expect_identical(warm, resumed);
  save_checkpoint(run.path(), resumed.trainer, 0);
  EXPECT_NEAR(saved(run / "checkpoints/step-00000005").start_share, share * 4 / 13 * 5 / 14, 1e-15);
}

TEST(Checkpoint, AveragesThatDoNotTellWhatTheirStartWeighsHadNoWarmup) {
  const TemporaryFolder run;
  TinyRun edm(kObjective<EdmOptions>);
  edm.train_to(7);
  save_checkpoint(run.path(), edm.trainer, 0);
  const fs::path file = run / "checkpoints/step-00000007/ema-0.5.safetensors";
  const WeightFile weights = load_weight_file(file);
  save_weights(file, weights.options, weights.weights);
  EXPECT_EQ(checkpoint_summary(file.parent_path())->averages.front().start_share, std::pow(0.5, 7));
  EXPECT_EQ(resolve_weights(run.path()).file, file);
}

TEST(Checkpoint, AnotherNetworksOrABrokenCheckpointIsAMistake) {
  const TemporaryFolder run;
  TinyRun ct(kObjective<CtOptions>);
  save_checkpoint(run.path(), ct.trainer, 0);
  const fs::path checkpoint = run / "checkpoints/step-00000000";

  ModelOptions wide = test::tiny_options();
  test::unet_of(wide.network).channels = 64;
  Model student = test::tiny_model(wide, 1);
  Trainer other(test::tiny_train_options(), {}, {.rates = {0.5}}, ct.objective, student, nullptr);
  EXPECT_THAT(message_of<InputError>([&] { load_checkpoint(checkpoint, other); }),
              AllOf(HasSubstr("model.safetensors"), HasSubstr("weights of another network")));

  for (const char* broken :
       {"{\"step\": ", "[]", R"({"step": "4"})", R"({"step": -1})", R"({"step": 18446744073709551615})",
        R"({"step": 4, "steps_in_stage": "4"})", R"({"step": 4, "optimizer_updates": 0.5})",
        R"({"step": 4, "skipped": null})", R"({"step": 4, "loss_scale": 1024})",
        R"({"step": 4, "loss_scale": {"value": "1024"}})", R"({"step": 4, "loss_scale": {"value": 0}})",
        R"({"step": 4, "loss_scale": {"value": 1, "clean_steps": -1}})"}) {
    write_file_atomically(checkpoint / "state.json", broken);
    EXPECT_THAT(message_of<InputError>([&] { load_checkpoint(checkpoint, ct.trainer); }),
                HasSubstr("state.json: not the state of a checkpoint"))
        << broken;
    EXPECT_THROW(checkpoint_summary(checkpoint), InputError) << broken;
  }
  fs::remove(checkpoint / "state.json");
  EXPECT_THAT(message_of<InputError>([&] { load_checkpoint(checkpoint, ct.trainer); }),
              HasSubstr("state.json: no such file"));
}

}  // namespace
}  // namespace cm
