#include "src/training/checkpoint_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/training/checkpoint.h"
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
using testing::ElementsAre;
using testing::HasSubstr;

// Files may not grow beyond `bytes` while it lives: a disk that is too small.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SmallDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

 private:
  void (*handler_)(int);
  rlimit before_{};
};

void expect_same_files(const fs::path& actual, const fs::path& expected) {
  ASSERT_EQ(names_in(actual), names_in(expected));
  for (const std::string& name : names_in(expected)) {
    EXPECT_EQ(read_file(actual / name), read_file(expected / name)) << name;
  }
}

TrainOptions keeping(int64_t newest, int64_t every) {
  TrainOptions options;
  options.keep_checkpoints = newest;
  options.keep_every = every;
  return options;
}

bool never(int64_t) {
  return false;
}

TEST(CheckpointWriter, WhatIsSupersededByTheRules) {
  EXPECT_THAT(superseded({10, 20, 30, 40}, keeping(2, 0), never), ElementsAre(10, 20));
  EXPECT_THAT(superseded({10, 20, 30, 40}, keeping(0, 20), never), ElementsAre());
  EXPECT_THAT(superseded({10, 20, 30, 40, 50}, keeping(1, 20), never), ElementsAre(10, 30));
  EXPECT_THAT(superseded({10}, keeping(1, 0), never), ElementsAre());
  EXPECT_THAT(superseded({10, 20, 30, 40}, keeping(1, 0), [](int64_t step) { return step == 20; }),
              ElementsAre(10, 30));
}

// By time no checkpoint may be at a multiple: the first one after it stays, whatever goes in between.
TEST(CheckpointWriter, OfEveryNStepsTheFirstStays) {
  std::vector<int64_t> there;
  for (int64_t step = 7; step < 100; step += 7) {
    there.push_back(step);
    for (const int64_t gone : superseded(there, keeping(2, 20), never)) std::erase(there, gone);
  }
  EXPECT_THAT(there, ElementsAre(21, 42, 63, 84, 91, 98));
}

TEST(CheckpointWriter, SavesTheStateOfItsCallWhileTrainingGoesOn) {
  for (const auto method : test::kMethods) {
    SCOPED_TRACE(to_string(method));
    const TemporaryFolder folder;
    TinyRun waited(method);
    TinyRun trained_on(method);
    TrainOptions in_background = keeping(0, 0);
    TrainOptions at_once = in_background;
    at_once.save_in_background = false;
    for (const char* run : {"a", "b"}) fs::create_directory(folder / run);
    CheckpointWriter background(folder / "a", in_background);
    CheckpointWriter foreground(folder / "b", at_once);
    for (int64_t step = 1; step <= 3; ++step) {
      waited.train_to(step);
      trained_on.train_to(step);
      foreground.save(waited.trainer);
      background.save(trained_on.trainer);
    }
    trained_on.train_to(4);
    background.finish();
    for (int64_t step = 1; step <= 3; ++step) {
      const std::string name = "checkpoints/step-0000000" + std::to_string(step);
      expect_same_files(folder / "a" / name, folder / "b" / name);
    }
    EXPECT_EQ(background.cost().count, 3);
    EXPECT_EQ(background.cost().bytes, foreground.cost().bytes);
    EXPECT_GT(background.cost().seconds, 0);
  }
}

TEST(CheckpointWriter, AFailureInTheBackgroundIsThrownByTheNextCall) {
  const TemporaryFolder folder;
  TinyRun edm(kObjective<EdmOptions>);
  edm.train_to(1);
  {
    const SmallDisk disk(100'000);
    CheckpointWriter writer(folder.path(), {});
    writer.save(edm.trainer);
    EXPECT_THAT(message_of<Error>([&] { writer.finish(); }), HasSubstr("could not write"));
    writer.check();  // said once
    writer.save(edm.trainer);
    EXPECT_THAT(message_of<Error>([&] {
                  while (true) writer.check();
                }),
                HasSubstr("could not write"));
  }
  EXPECT_THAT(names_in(folder / "checkpoints"), ElementsAre());
}

TEST(CheckpointWriter, LatestSwingsAndOldOnesGo) {
  const TemporaryFolder run;
  TinyRun edm(kObjective<EdmOptions>);
  EXPECT_EQ(latest_checkpoint(run.path()), std::nullopt);
  // Not ours to remove: what a user made of an old one.
  fs::create_directories(run / "checkpoints/step-00000009-kept");
  fs::create_directory_symlink("step-00000009-kept", run / "checkpoints/step-00000000");
  for (int64_t step = 1; step <= 4; ++step) {
    edm.train_to(step);
    save_checkpoint(run.path(), edm.trainer, 2);
    const auto latest = latest_checkpoint(run.path()).value();
    EXPECT_EQ(latest.filename(), "step-0000000" + std::to_string(step));
    EXPECT_EQ(checkpoint_summary(latest)->step, step);
  }
  EXPECT_THAT(names_in(run / "checkpoints"),
              ElementsAre("latest", "step-00000000", "step-00000003", "step-00000004", "step-00000009-kept"));
}

TEST(CheckpointWriter, WithoutTheNewestTheOneBeforeIsTheLatest) {
  const TemporaryFolder run;
  TinyRun edm(kObjective<EdmOptions>);
  for (const int64_t step : {2, 4}) {
    edm.train_to(step);
    save_checkpoint(run.path(), edm.trainer, 0);
  }
  fs::remove_all(run / "checkpoints/step-00000004");
  EXPECT_EQ(latest_checkpoint(run.path()), run / "checkpoints/step-00000002");
  fs::remove_all(run / "checkpoints/step-00000002");
  EXPECT_EQ(latest_checkpoint(run.path()), std::nullopt);
}

// Stages end after steps 2 and 5.
TEST(CheckpointWriter, TheLastOfEachStageStays) {
  const TemporaryFolder run;
  TinyRun pd(kObjective<PdOptions>);
  for (int64_t step = 1; step <= 7; ++step) {
    pd.train_to(step);
    save_checkpoint(run.path(), pd.trainer, 1);
  }
  EXPECT_THAT(names_in(run / "checkpoints"),
              ElementsAre("latest", "step-00000002", "step-00000005", "step-00000007"));
}

TEST(CheckpointWriter, AFullDiskLeavesTheLastOne) {
  const TemporaryFolder run;
  TinyRun edm(kObjective<EdmOptions>);
  edm.train_to(1);
  save_checkpoint(run.path(), edm.trainer, 1);
  edm.train_to(2);
  {
    const SmallDisk disk(100'000);
    EXPECT_THAT(message_of<Error>([&] { save_checkpoint(run.path(), edm.trainer, 1); }),
                HasSubstr("could not write"));
  }
  EXPECT_THAT(names_in(run / "checkpoints"), ElementsAre("latest", "step-00000001"));
  TinyRun restored(kObjective<EdmOptions>);
  load_checkpoint(latest_checkpoint(run.path()).value(), restored.trainer);
  EXPECT_EQ(restored.trainer.steps_done(), 1);
}

}  // namespace
}  // namespace cm
