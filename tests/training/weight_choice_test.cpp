#include "cm/training/weight_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/io/json.h"
#include "cm/training/checkpoint.h"
#include "support/closeness.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"
#include "support/tiny_run.h"
#include "training/save_checkpoint.h"

namespace cm {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::save_checkpoint;
using test::TemporaryFolder;
using test::TinyRun;
using testing::HasSubstr;

TEST(WeightChoice, WeightsTellWhereInTrainingTheyWereSaved) {
  const TemporaryFolder run;
  TinyRun edm(kObjective<EdmOptions>);
  edm.train_to(2);
  save_checkpoint(run.path(), edm.trainer, 0);
  const fs::path checkpoint = run / "checkpoints/step-00000002";
  const auto average = origin_of({checkpoint / "ema-0.9.safetensors", ""});
  ASSERT_TRUE(average);
  EXPECT_EQ(average->run, run.path());
  EXPECT_EQ(average->step, 2);
  EXPECT_EQ(average->average.ema, 0.9);
  EXPECT_EQ(origin_of({checkpoint / "model.safetensors", ""})->average.ema, std::nullopt);
  const fs::path before = fs::current_path();
  fs::current_path(run.path());
  EXPECT_EQ(origin_of({"checkpoints/step-00000002/model.safetensors", ""})->run, ".");
  fs::current_path(before);
  fs::rename(checkpoint, run / "moved");
  EXPECT_EQ(origin_of({run / "moved/model.safetensors", ""})->run, run.path());
  EXPECT_FALSE(origin_of({run / "model.safetensors", ""}));
}

TEST(WeightChoice, WhereTheyWereSavedIsToldWhateverLiesBesideThem) {
  const TemporaryFolder run;
  TinyRun edm(kObjective<EdmOptions>);
  save_checkpoint(run.path(), edm.trainer, 0);
  const fs::path checkpoint = run / "checkpoints/step-00000000";
  write_file_atomically(checkpoint / "ema-0.5.safetensors", "damaged");
  EXPECT_EQ(origin_of({checkpoint / "ema-0.9.safetensors", ""})->step, 0);
}

TEST(WeightChoice, WeightsAreChosenByTheirRate) {
  const TemporaryFolder run;
  TinyRun edm(kObjective<EdmOptions>);
  edm.train_to(1);
  save_checkpoint(run.path(), edm.trainer, 0);
  const fs::path first = run / "checkpoints/step-00000001";
  const auto expect = [](const ResolvedWeights& actual, const fs::path& file, const std::string& why) {
    EXPECT_EQ(actual.file, file);
    EXPECT_EQ(actual.why, why);
  };
  expect(resolve_weights(run.path()), first / "model.safetensors",
         "the trained weights; no average has forgotten its start, which weighs 50 % in that of rate 0.5");
  expect(resolve_weights(run.path(), {.ema = 0.9}), first / "ema-0.9.safetensors",
         "the average of rate 0.9, as asked for; its start weighs 90 %");
  expect(resolve_weights(first, {.ema = 0}), first / "model.safetensors",
         "the trained weights, as asked for");
  expect(resolve_weights(first / "ema-0.5.safetensors"), first / "ema-0.5.safetensors", "the file itself");

  edm.train_to(7);  // 0.5⁷ ≤ 1 % < 0.9⁷
  save_checkpoint(run.path(), edm.trainer, 0);
  expect(resolve_weights(run.path()), run / "checkpoints/step-00000007/ema-0.5.safetensors",
         "the average of rate 0.5, the largest whose start weighs at most 1 % (0.78 %)");
  edm.train_to(44);  // 0.9⁴⁴ ≤ 1 %
  save_checkpoint(run.path(), edm.trainer, 0);
  EXPECT_EQ(resolve_weights(run.path()).file, run / "checkpoints/step-00000044/ema-0.9.safetensors");
  EXPECT_EQ(resolve_weights(first).file, first / "model.safetensors");
}

TEST(WeightChoice, WeightsThatAreNotThereAreMistakes) {
  const TemporaryFolder run;
  TinyRun edm(kObjective<EdmOptions>);
  EXPECT_THAT(message_of<InputError>([&] { resolve_weights(run / "nowhere"); }),
              HasSubstr("nowhere: no such file or folder"));
  EXPECT_THAT(message_of<InputError>([&] { resolve_weights(run.path()); }),
              HasSubstr("neither a run with a checkpoint, nor a checkpoint folder"));
  save_checkpoint(run.path(), edm.trainer, 0);
  EXPECT_THAT(message_of<InputError>([&] { resolve_weights(run.path(), {.ema = 0.99}); }),
              HasSubstr("has no evaluation average of rate 0.99; it has {0.5, 0.9}"));
  const fs::path file = run / "checkpoints/latest/model.safetensors";
  EXPECT_THAT(message_of<InputError>([&] { resolve_weights(file, {.ema = 0.5}); }),
              HasSubstr("is one weight file; an average can be chosen in a run only"));
}

// Tracks σ_rel 0.05 and 0.1, with a snapshot every second step and checkpoints at 8 and 16.
struct PowerRun {
  PowerRun()
      : run(kObjective<EdmOptions>, test::tiny_train_options(), test::tiny_network(),
            {.rates = {}, .power_stds = {0.05, 0.1}, .snapshot_type = SnapshotType::fp32}) {
    CheckpointWriter writer(folder.path(), {});
    for (int64_t step = 2; step <= 16; step += 2) {
      run.train_to(step);
      writer.save_snapshots(run.trainer);
      if (step % 8 == 0) writer.save(run.trainer);
    }
    writer.finish();
  }
  fs::path checkpoint(const char* step) const { return folder / "checkpoints" / step; }

  TemporaryFolder folder;
  TinyRun run;
};

TEST(WeightChoice, AWidthThatWasTrackedIsReadAndAnyOtherMade) {
  const PowerRun power;
  const fs::path& run = power.folder.path();
  const ResolvedWeights tracked = resolve_weights(run, {.ema_std = 0.1});
  EXPECT_EQ(tracked.file, power.checkpoint("step-00000016") / "power-0.1.safetensors");
  EXPECT_EQ(tracked.why, "the average of σ_rel 0.1, as it was tracked");
  EXPECT_FALSE(tracked.made);
  EXPECT_EQ(origin_of(tracked)->average.ema_std, 0.1);
  EXPECT_EQ(origin_of(tracked)->average.ema, std::nullopt);

  const ResolvedWeights made = resolve_weights(run, {.ema_std = 0.08});
  EXPECT_EQ(made.file, run / "averages");
  EXPECT_THAT(made.why, HasSubstr("the average of σ_rel 0.08 after step 16, made of 16 snapshots to "));
  EXPECT_EQ(origin_of(made)->run, run);
  EXPECT_EQ(origin_of(made)->step, 16);
  EXPECT_EQ(origin_of(made)->average.ema_std, 0.08);
  const ResolvedWeights earlier = resolve_weights(power.checkpoint("step-00000008"), {.ema_std = 0.08});
  EXPECT_EQ(origin_of(earlier)->step, 8);
}

// What is known before it is made is what it is then.
TEST(WeightChoice, MadeWeightsAreThoseOfTheirSnapshots) {
  const PowerRun power;
  const ResolvedWeights made = resolve_weights(power.folder.path(), {.ema_std = 0.08});
  const WeightFile header = read_weight_header(made);
  const WeightFile file = load_weight_file(made);
  EXPECT_EQ(json_of(file.options), json_of(header.options));
  ASSERT_EQ(file.weights.size(), header.weights.size());
  const WeightFile by_hand = made_weights(power_average(power.folder.path(), 0.08));
  for (const auto& [name, weight] : file.weights) {
    EXPECT_EQ(weight.sizes(), header.weights.at(name).sizes()) << name;
    EXPECT_TRUE(torch::equal(weight, by_hand.weights.at(name))) << name;
  }
}

TEST(WeightChoice, ARunOfPowerFunctionsAloneIsSampledByTheWidest) {
  const PowerRun power;
  const ResolvedWeights weights = resolve_weights(power.folder.path());
  EXPECT_EQ(weights.file.filename(), "power-0.1.safetensors");
  EXPECT_EQ(weights.why, "the average of σ_rel 0.1, the widest");
}

TEST(WeightChoice, OneAverageIsChosenAndItsRunMustKeepSnapshots) {
  const PowerRun power;
  const auto refused = [&](const fs::path& source, const WeightChoice& choice) {
    return message_of<InputError>([&] { resolve_weights(source, choice); });
  };
  EXPECT_THAT(refused(power.folder.path(), {.ema = 0.9, .ema_std = 0.1}),
              HasSubstr("of its averages, that of rate 0.9 and that of σ_rel 0.1 are chosen; choose one"));
  EXPECT_THAT(refused(power.checkpoint("step-00000008") / "model.safetensors", {.ema_std = 0.1}),
              HasSubstr("is one weight file; an average can be chosen in a run only"));
  EXPECT_THAT(refused(power.folder.path(), {.ema = 0.9}),
              HasSubstr("has no evaluation average of rate 0.9; it has {}"));
  fs::remove_all(power.folder / "averages");
  EXPECT_THAT(refused(power.folder.path(), {.ema_std = 0.08}), HasSubstr("keeps no snapshots of averages"));
}

}  // namespace
}  // namespace cm
