#include "cm/training/power_snapshots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/training/checkpoint.h"
#include "src/training/checkpoint_writer.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"
#include "support/tiny_run.h"

namespace cm {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::names_in;
using test::TemporaryFolder;
using test::TinyRun;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kSnapshotSteps = 64;

EmaOptions snapshots_in(SnapshotType type, std::vector<double> stds = {0.05, 0.1}) {
  return {.rates = {}, .power_stds = std::move(stds), .snapshot_type = type};
}

// Trains with the averages of `ema` to `steps`, with snapshots of every eighth.
void train_with_snapshots(TinyRun& run, const fs::path& folder, int64_t steps = kSnapshotSteps) {
  CheckpointWriter writer(folder, {});
  while (run.trainer.steps_done() < steps) {
    run.train_to(run.trainer.steps_done() + 8);
    writer.save_snapshots(run.trainer);
  }
  writer.finish();
}

struct Snapshots {
  explicit Snapshots(SnapshotType type = SnapshotType::fp32, std::vector<double> stds = {0.05, 0.1})
      : run(kObjective<EdmOptions>, test::tiny_train_options(), test::tiny_network(),
            snapshots_in(type, std::move(stds))) {
    train_with_snapshots(run, folder.path());
  }

  TemporaryFolder folder;
  TinyRun run;
};

double relative_distance(const NamedTensors& actual, const NamedTensors& expected) {
  double distance = 0;
  double norm = 0;
  for (const auto& [name, tensor] : expected) {
    distance += (actual.at(name) - tensor).to(torch::kFloat64).square().sum().item<double>();
    norm += tensor.to(torch::kFloat64).square().sum().item<double>();
  }
  return std::sqrt(distance / norm);
}

NamedTensors distance_trained(const NamedTensors& from, const NamedTensors& to) {
  NamedTensors difference;
  for (const auto& [name, tensor] : from) difference[name] = to.at(name) - tensor;
  return difference;
}

TEST(PowerSnapshots, AreNamedByStepAndWidthAndSayWhatTheyAre) {
  const Snapshots kept;
  const std::vector<Snapshot> found = snapshots_of(kept.folder.path());
  ASSERT_EQ(found.size(), 16);
  EXPECT_EQ(found[3].file.filename(), "step-00000016-std-0.1.safetensors");
  EXPECT_EQ(found[3].step, 16);
  EXPECT_EQ(found[3].std, 0.1);
  const auto state = average_in(read_safetensors_header(found[3].file).metadata, "it");
  ASSERT_TRUE(state);
  EXPECT_EQ(state->power_std, 0.1);
  EXPECT_EQ(state->updates, 16);
  EXPECT_EQ(state->start_share, 0);
}

// The truth: averages of other widths that were tracked in the same training. What training has moved the
// average by since the first step is the measure, not the weights' size.
TEST(PowerSnapshots, MakeTheAverageThatTrackingWouldHave) {
  const std::vector<double> others = {0.06, 0.075, 0.13};
  Snapshots all(SnapshotType::fp32, {0.05, 0.1, 0.06, 0.075, 0.13});
  const TinyRun start(kObjective<EdmOptions>);
  for (const Snapshot& one : snapshots_of(all.folder.path())) {
    if (std::ranges::find(others, one.std) != others.end()) fs::remove(one.file);
  }
  for (size_t i = 0; i < others.size(); ++i) {
    const NamedTensors tracked = all.run.student.named_weights(all.run.trainer.averages().average(2 + i));
    const PowerAverage made = power_average(all.folder.path(), others[i]);
    const NamedTensors from = start.student.named_weights();
    EXPECT_LT(relative_distance(distance_trained(from, made_weights(made).weights),
                                distance_trained(from, tracked)),
              2e-3)
        << others[i];
    EXPECT_EQ(made.step, kSnapshotSteps);
    EXPECT_EQ(made.snapshots.size(), 16U);
    EXPECT_EQ(made.state.power_std, others[i]);
  }
}

TEST(PowerSnapshots, OneMakesItself) {
  const Snapshots kept;
  const PowerAverage made = power_average(kept.folder.path(), 0.1, 40);
  const NamedTensors stored =
      load_weight_file(kept.folder / "averages/step-00000040-std-0.1.safetensors").weights;
  EXPECT_LT(relative_distance(made_weights(made).weights, stored), 1e-7);
  EXPECT_EQ(made.step, 40);
  EXPECT_EQ(made.state.updates, 40);
  EXPECT_EQ(made.snapshots.size(), 10U);
}

TEST(PowerSnapshots, OfHalfTheSizeAreTheSameToElevenBits) {
  const Snapshots half(SnapshotType::fp16);
  const Snapshots whole(SnapshotType::fp32);
  const std::string name = "averages/step-00000064-std-0.05.safetensors";
  EXPECT_LT(fs::file_size(half.folder / name), 0.7 * static_cast<double>(fs::file_size(whole.folder / name)));
  const auto made = made_weights(power_average(half.folder.path(), 0.075)).weights;
  const double distance =
      relative_distance(made, made_weights(power_average(whole.folder.path(), 0.075)).weights);
  EXPECT_LT(distance, 1e-3);
  EXPECT_GT(distance, 0);
  for (const auto& [key, tensor] : made) EXPECT_EQ(tensor.dtype(), torch::kFloat32) << key;
}

// Stages begin at steps 0, 2 and 5: an average of the second is of its own snapshots alone.
TEST(PowerSnapshots, ThoseOfAnotherStageAreNotMixedIn) {
  const TemporaryFolder folder;
  TinyRun run(kObjective<PdOptions>, test::tiny_train_options(), test::tiny_network(),
              snapshots_in(SnapshotType::fp32));
  CheckpointWriter writer(folder.path(), {});
  for (const int64_t step : {1, 2, 3, 4, 5}) {
    run.train_to(step);
    writer.save_snapshots(run.trainer);
  }
  writer.finish();
  const PowerAverage made = power_average(folder.path(), 0.1, 4);
  EXPECT_EQ(made.snapshots.size(), 4U);
  EXPECT_EQ(made.state.updates, 2);
  EXPECT_EQ(made_weights(made).options.distilled_steps, 2);
}

TEST(PowerSnapshots, LaterOnesAreRemoved) {
  const Snapshots kept;
  remove_snapshots_after(kept.folder.path(), 23);
  EXPECT_THAT(names_in(kept.folder / "averages"),
              ElementsAre("step-00000008-std-0.05.safetensors", "step-00000008-std-0.1.safetensors",
                          "step-00000016-std-0.05.safetensors", "step-00000016-std-0.1.safetensors"));
}

TEST(PowerSnapshots, AResumedRunTracksAsAWholeOneDoes) {
  const Snapshots whole;
  const TemporaryFolder folder;
  const EmaOptions ema = snapshots_in(SnapshotType::fp32);
  TinyRun first(kObjective<EdmOptions>, test::tiny_train_options(), test::tiny_network(), ema);
  train_with_snapshots(first, folder.path(), 24);
  CheckpointWriter writer(folder.path(), {});
  writer.save(first.trainer);
  writer.finish();
  TinyRun second(kObjective<EdmOptions>, test::tiny_train_options(), test::tiny_network(), ema);
  load_checkpoint(latest_checkpoint(folder.path()).value(), second.trainer);
  EXPECT_EQ(second.trainer.averages().states()[1].updates, 24);
  train_with_snapshots(second, folder.path());
  ASSERT_EQ(names_in(folder / "averages"), names_in(whole.folder / "averages"));
  for (const std::string& name : names_in(folder / "averages")) {
    EXPECT_EQ(read_file(folder / "averages" / name), read_file(whole.folder / "averages" / name)) << name;
  }
}

TEST(PowerSnapshots, WhatCannotBeMadeIsRefused) {
  const Snapshots kept;
  const fs::path run = kept.folder.path();
  const auto refused = [&](double std, std::optional<int64_t> step = std::nullopt) {
    return message_of<InputError>([&] { power_average(run, std, step); });
  };
  EXPECT_THAT(refused(0), HasSubstr("σ_rel of an average must lie between 0 and 0.289, got 0"));
  EXPECT_THAT(refused(0.3), HasSubstr("must lie between 0 and 0.289, got 0.3"));
  EXPECT_THAT(refused(0.075, 65), HasSubstr("no average after step 65 can be made of its snapshots, 16 of "
                                            "σ_rel {0.05, 0.1} at steps 8 to 64"));
  EXPECT_THAT(refused(0.075, 7), HasSubstr("no average after step 7"));
  EXPECT_THAT(refused(0.075, 60), AllOf(HasSubstr("after step 60 only to"), HasSubstr("(at most 10 %)")));
  EXPECT_THAT(refused(0.01), HasSubstr("make an average of σ_rel 0.01 after step 64 only to 53 %"));
  const fs::path broken = run / "averages/step-00000032-std-0.05.safetensors";
  fs::rename(run / "averages/step-00000032-std-0.1.safetensors", broken);
  EXPECT_THAT(refused(0.075), AllOf(HasSubstr(broken.string()), HasSubstr("remove it")));
  write_file_atomically(broken, "broken");
  EXPECT_THAT(refused(0.075), HasSubstr(broken.string()));
  fs::remove_all(run / "averages");
  EXPECT_THAT(refused(0.075), HasSubstr("keeps no snapshots of averages; train with ema.power_stds"));
}

}  // namespace
}  // namespace cm
