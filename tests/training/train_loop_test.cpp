#include "cm/training/train_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <limits>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/data/loader.h"
#include "cm/io/json.h"
#include "cm/kernels/normal.h"
#include "cm/training/checkpoint.h"
#include "src/data/memory_dataset.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::TemporaryFolder;
using test::TinyRun;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

InMemoryDataset some_images() {
  const Tensor pixels = (normal({.seed = 4}, sample_range(0, 20), {1, 4, 4}) * 50 + 128).clamp(0, 255);
  return {pixels.to(torch::kUInt8), torch::arange(20).remainder(3), 3};
}

TrainOutcome train_tiny(TinyRun& run, const TrainOptions& options, const fs::path& folder) {
  const InMemoryDataset dataset = some_images();
  return train(run.trainer, options, dataset, {}, folder);
}

std::vector<Json> logged_lines(const fs::path& run) {
  std::istringstream text(read_file(run / "metrics.jsonl"));
  std::vector<Json> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
  return lines;
}

std::vector<int64_t> logged_steps(const fs::path& run) {
  std::vector<int64_t> steps;
  for (const Json& line : logged_lines(run)) steps.push_back(line.at("step"));
  return steps;
}

void expect_same_weights(const TinyRun& actual, const TinyRun& expected) {
  const auto left = actual.student.parameters();
  const auto right = expected.student.parameters();
  for (size_t i = 0; i < right.size(); ++i) EXPECT_TRUE(torch::equal(left[i], right[i])) << i;
}

// What happens in the step `step` instead of it being only trained.
void at_step(Objective& objective, int64_t step, const std::function<Tensor(const Tensor&)>& act) {
  objective.losses = [whole = objective.losses, step, act](const TrainingBatch& batch) {
    return batch.step == step ? act(whole(batch)) : whole(batch);
  };
}

void interrupt_at(Objective& objective, int64_t step) {
  at_step(objective, step, [](const Tensor& losses) {
    std::raise(SIGTERM);
    return losses;
  });
}

Trainer trainer_with(const Objective& objective, TinyRun& run) {
  return {test::tiny_train_options(), {}, {.rates = {0.5}}, objective, run.student, nullptr};
}

TEST(TrainLoop, LeavesLogsPicturesAndCheckpoints) {
  const TemporaryFolder folder;
  TrainOptions options = test::tiny_train_options();
  options.steps = 5;
  options.sample_every = 2;
  options.sample_count = 3;
  options.cuda_graph = true;
  TinyRun run(kObjective<CtOptions>, options);
  EXPECT_EQ(train_tiny(run, options, folder.path()), TrainOutcome::finished);
  EXPECT_THAT(logged_steps(folder.path()), ElementsAre(1, 2, 3, 4, 5));
  const Json first = logged_lines(folder.path()).front();
  for (const auto* key : {"loss", "gradient_norm", "learning_rate", "n", "mu", "images_per_second"}) {
    EXPECT_TRUE(first.contains(key)) << key;
  }
  EXPECT_EQ(first.at("played"), 0);
  EXPECT_TRUE(fs::exists(folder / "samples/step-00000004.png"));
  EXPECT_FALSE(fs::exists(folder / "samples/step-00000003.png"));
  EXPECT_TRUE(fs::exists(folder / "checkpoints/step-00000004"));
  EXPECT_EQ(latest_checkpoint(folder.path()).value().filename(), "step-00000005");  // the last step always
}

TEST(TrainLoop, AResumedRunEndsWhereAWholeOneDoes) {
  const TrainOptions options = test::tiny_train_options();
  const TemporaryFolder whole_folder;
  TinyRun whole(kObjective<EdmOptions>, options);
  train_tiny(whole, options, whole_folder.path());

  const TemporaryFolder folder;
  TrainOptions half = options;
  half.steps = 2;
  TinyRun first(kObjective<EdmOptions>, options);
  train_tiny(first, half, folder.path());
  TinyRun second(kObjective<EdmOptions>, options);
  load_checkpoint(latest_checkpoint(folder.path()).value(), second.trainer);
  train_tiny(second, options, folder.path());
  EXPECT_THAT(logged_steps(folder.path()), ElementsAre(1, 2, 3, 4));
  expect_same_weights(second, whole);
}

// The run before had gone on to step 4 without a checkpoint there, and left a snapshot.
TEST(TrainLoop, KeepsSnapshotsOfItsOwnPastAlone) {
  const TemporaryFolder folder;
  const TrainOptions options = test::tiny_train_options();
  TinyRun run(kObjective<EdmOptions>, options, test::tiny_network(),
              {.rates = {}, .power_stds = {0.05}, .snapshot_every = 3});
  fs::create_directory(folder / "averages");
  for (const char* name : {"step-00000000-std-0.05.safetensors", "step-00000002-std-0.05.safetensors"}) {
    write_file_atomically(folder / "averages" / name, "");
  }
  train_tiny(run, options, folder.path());
  EXPECT_THAT(test::names_in(folder / "averages"),
              ElementsAre("step-00000000-std-0.05.safetensors", "step-00000003-std-0.05.safetensors",
                          "step-00000004-std-0.05.safetensors"));
}

// The loop written out: which batches it trains on, and what a line tells of the steps since the last one.
TEST(TrainLoop, TrainsOnTheLoadersBatchesAndLogsTheirMeans) {
  TrainOptions options = test::tiny_train_options();
  options.steps = 3;
  options.log_every = 2;
  options.seed = 5;
  const InMemoryDataset dataset = some_images();
  const TemporaryFolder folder;
  TinyRun run(kObjective<EdmOptions>, options);
  train(run.trainer, options, dataset, {.horizontal_flip = true}, folder.path());

  TinyRun by_hand(kObjective<EdmOptions>, options);
  Loader loader(dataset, {.batch_size = options.batch_size, .seed = 5, .horizontal_flip = true});
  std::vector<StepResult> results;
  for (int64_t step = 0; step < options.steps; ++step) {
    results.push_back(by_hand.trainer.step(loader.next()));
  }
  expect_same_weights(run, by_hand);
  const std::vector<Json> lines = logged_lines(folder.path());
  EXPECT_THAT(logged_steps(folder.path()), ElementsAre(2, 3));  // the last one always
  const auto number = [](const Json& line, const char* key) { return line.at(key).get<double>(); };
  EXPECT_NEAR(number(lines[0], "loss"), ((results[0].loss + results[1].loss) / 2).item<double>(), 1e-6);
  EXPECT_NEAR(number(lines[0], "gradient_norm"), results[1].gradient_norm.item<double>(), 1e-6);
  EXPECT_NEAR(number(lines[1], "loss"), results[2].loss.item<double>(), 1e-6);
}

TEST(TrainLoop, AnInterruptedRunSavesItsStep) {
  const TemporaryFolder folder;
  TinyRun run(kObjective<EdmOptions>);
  Objective objective = run.objective;
  interrupt_at(objective, 2);
  Trainer trainer = trainer_with(objective, run);
  const InMemoryDataset dataset = some_images();
  EXPECT_EQ(train(trainer, test::tiny_train_options(), dataset, {}, folder.path()),
            TrainOutcome::interrupted);
  EXPECT_EQ(latest_checkpoint(folder.path()).value().filename(), "step-00000003");
  EXPECT_THAT(logged_steps(folder.path()), ElementsAre(1, 2, 3));
}

TEST(TrainLoop, ARunInterruptedInItsLastStepIsFinished) {
  const TemporaryFolder folder;
  TinyRun run(kObjective<EdmOptions>);
  Objective objective = run.objective;
  interrupt_at(objective, 3);
  Trainer trainer = trainer_with(objective, run);
  EXPECT_EQ(train(trainer, test::tiny_train_options(), some_images(), {}, folder.path()),
            TrainOutcome::finished);
}

TEST(TrainLoop, ANonFiniteStepNamesTheLastGoodCheckpoint) {
  const TemporaryFolder folder;
  TinyRun run(kObjective<EdmOptions>);
  Objective objective = run.objective;
  at_step(objective, 3,
          [](const Tensor& losses) { return losses * std::numeric_limits<double>::infinity(); });
  Trainer trainer = trainer_with(objective, run);
  const InMemoryDataset dataset = some_images();
  const auto message =
      message_of<Error>([&] { train(trainer, test::tiny_train_options(), dataset, {}, folder.path()); });
  EXPECT_THAT(message,
              AllOf(HasSubstr("not finite in step 4"), HasSubstr("step-00000002 (go on with --resume)")));
  EXPECT_EQ(latest_checkpoint(folder.path()).value().filename(), "step-00000002");
}

// Nothing is on stderr beside the one line that says both.
TEST(TrainLoop, AFailureTellsWhatBecameOfTheCheckpointUnderWay) {
  const TemporaryFolder folder;
  TinyRun run(kObjective<EdmOptions>);
  Objective objective = run.objective;
  at_step(objective, 1, [&](const Tensor& losses) {  // the link can't be swung to the checkpoint after it
    fs::create_directories(folder / "checkpoints/latest/in-the-way");
    return losses;
  });
  at_step(objective, 2, [](const Tensor&) -> Tensor { throw Error("something fails"); });
  Trainer trainer = trainer_with(objective, run);
  const InMemoryDataset dataset = some_images();
  testing::internal::CaptureStderr();
  const auto message =
      message_of<Error>([&] { train(trainer, test::tiny_train_options(), dataset, {}, folder.path()); });
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_THAT(message, AllOf(StartsWith("something fails; nor could the checkpoint be saved that was being "
                                        "written: could not "),
                             HasSubstr("; the last good checkpoint is ")));
}

TEST(TrainLoop, ThePreviewDependsOnTheWeightsAndTheSeedAlone) {
  TrainOptions options = test::tiny_train_options();
  options.sample_count = 7;
  TinyRun run(kObjective<CtOptions>, options);
  const Tensor picture = preview_picture(run.trainer, options);
  EXPECT_EQ(picture.scalar_type(), torch::kUInt8);
  EXPECT_TRUE(torch::equal(preview_picture(run.trainer, options), picture));
  options.batch_size = 4;  // in two batches
  EXPECT_TRUE(torch::equal(preview_picture(run.trainer, options), picture));
  options.seed = 1;
  EXPECT_FALSE(torch::equal(preview_picture(run.trainer, options), picture));
}

TEST(TrainLoop, ThePreviewIsOfTheAverageThatForgotItsStart) {
  TrainOptions options = test::tiny_train_options();
  options.sample_count = 2;
  TinyRun run(kObjective<CtOptions>, options);
  run.train_to(8);
  const Tensor picture = preview_picture(run.trainer, options);
  test::perturb(run.student, 5);
  EXPECT_TRUE(torch::equal(preview_picture(run.trainer, options), picture));
}

}  // namespace
}  // namespace cm
