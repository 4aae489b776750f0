// Training whose state is cut into parts (TrainOptions::shard) against training on one rank.
#include <gtest/gtest.h>

#include "cm/training/checkpoint.h"
#include "cm/training/train_loop.h"
#include "support/closeness.h"
#include "support/loopback.h"
#include "support/one_at_a_time.h"
#include "support/scaled_objective.h"
#include "support/temporary_folder.h"
#include "support/tiny_run.h"
#include "training/save_checkpoint.h"

namespace cm {
namespace {

using test::TemporaryFolder;
using test::TinyRun;

constexpr double kRounding = 1e-5;

// A run's models, and a trainer of them that shares its steps with others.
struct SharedRun {
  TinyRun models;
  Trainer trainer;

  SharedRun(ObjectiveKind method, const TrainOptions& options, const World& world)
      : models(method, options),
        trainer(options, optimizer(), averages(), test::one_at_a_time(models.objective), models.student,
                models.method.has_target ? &models.target : nullptr, world) {}

  // The large eps keeps rounding from being scaled to whole steps.
  static OptimizerOptions optimizer() {
    OptimizerOptions options;
    options.rule = OptimizerRule::adamw;
    options.lr = 1e-2;
    options.eps = 1e-2;
    options.weight_decay = 0.1;
    options.clip_norm = 0.5;
    return options;
  }
  static EmaOptions averages() { return {.rates = {0.5, 0.9}, .power_stds = {0.1}}; }

  void train_to(int64_t step) {
    const int64_t size = 6 / trainer.world().size();
    while (trainer.steps_done() < step) {
      trainer.step(
          test::part_of(test::tiny_batch(trainer.steps_done()), trainer.world().rank() * size, size));
    }
  }
};

TrainOptions options_of(Shard shard, std::optional<int64_t> micro_batch_size = std::nullopt) {
  TrainOptions options = test::tiny_train_options();
  options.shard = shard;
  options.micro_batch_size = micro_batch_size;
  return options;
}

// The checkpoint after four steps of one rank.
void train_alone(ObjectiveKind method, const std::filesystem::path& run) {
  SharedRun one(method, options_of(Shard::none), World());
  one.train_to(4);
  test::save_checkpoint(run, one.trainer, 0);
}

// All that a checkpoint holds, by file and name.
std::map<std::string, NamedTensors> files_of(const std::filesystem::path& run) {
  std::map<std::string, NamedTensors> files;
  for (const auto& entry : std::filesystem::directory_iterator(latest_checkpoint(run).value())) {
    if (entry.path().extension() == ".safetensors")
      files[entry.path().filename()] = load_safetensors(entry.path()).tensors;
  }
  return files;
}

void expect_near_files(const std::filesystem::path& actual, const std::filesystem::path& expected) {
  auto ours = files_of(actual);
  for (const auto& [file, tensors] : files_of(expected)) {
    ASSERT_EQ(ours[file].size(), tensors.size()) << file;
    for (const auto& [name, tensor] : tensors) {
      ASSERT_EQ(ours[file][name].sizes(), tensor.sizes()) << file << " " << name;
      EXPECT_LT(test::largest_difference(ours[file][name], tensor), kRounding) << file << " " << name;
    }
  }
}

// EDM; a target network; a loss with parameters of its own; stages that replace teacher, moments and
// averages.
const std::vector<ObjectiveKind> kMethods = {kObjective<EdmOptions>, kObjective<CdOptions>,
                                             kObjective<SctOptions>, kObjective<PdOptions>};

TEST(ShardedTraining, CheckpointsAreThoseOfOneRank) {
  for (const auto method : kMethods) {
    SCOPED_TRACE(to_string(method));
    const TemporaryFolder alone;
    train_alone(method, alone.path());
    for (const auto& [ranks, shard, micro] : {std::tuple(2, Shard::optimizer, 1), {3, Shard::gradients, 1}}) {
      const TemporaryFolder run;
      test::on_ranks(ranks, [&, shard = shard, micro = micro](const World& world) {
        SharedRun mine(method, options_of(shard, micro), world);
        mine.train_to(4);
        test::save_checkpoint(run.path(), mine.trainer, 0);
        EXPECT_EQ(mine.trainer.skipped(), 0);
      });
      expect_near_files(run.path(), alone.path());
    }
  }
}

TEST(ShardedTraining, ResumesOnAnyNumberOfRanks) {
  for (const auto method : kMethods) {
    SCOPED_TRACE(to_string(method));
    const TemporaryFolder alone;
    train_alone(method, alone.path());

    const TemporaryFolder run;
    const auto go_on = [&](int64_t ranks, Shard shard, int64_t step) {
      test::on_ranks(ranks, [&](const World& world) {
        SharedRun mine(method, options_of(shard), world);
        if (const auto saved = latest_checkpoint(run.path())) load_checkpoint(*saved, mine.trainer);
        world.barrier();
        mine.trainer.share_state();
        mine.train_to(step);
        test::save_checkpoint(run.path(), mine.trainer, 0);
      });
    };
    go_on(2, Shard::gradients, 1);
    go_on(3, Shard::optimizer, 2);
    go_on(1, Shard::none, 3);
    go_on(2, Shard::optimizer, 4);
    expect_near_files(run.path(), alone.path());
  }
}

TEST(ShardedTraining, PreviewsShowTheWholeAverage) {
  TrainOptions options = options_of(Shard::none);
  options.sample_count = 4;
  SharedRun one(kObjective<EdmOptions>, options, World());
  one.train_to(4);
  const Tensor expected = preview_picture(one.trainer, options, ImageCodec());
  test::on_ranks(2, [&](const World& world) {
    TrainOptions shared = options;
    shared.shard = Shard::optimizer;
    SharedRun mine(kObjective<EdmOptions>, shared, world);
    mine.train_to(4);
    const Tensor picture = preview_picture(mine.trainer, shared, ImageCodec());
    if (!world.is_first()) return;
    ASSERT_EQ(picture.sizes(), expected.sizes());
    EXPECT_LE(test::largest_difference(picture.to(torch::kFloat32), expected.to(torch::kFloat32)), 1);
  });
}

TEST(ShardedTraining, ANonFiniteLossOfOneRankIsSkippedByAll) {
  TrainOptions options = options_of(Shard::gradients);
  options.on_non_finite = OnNonFinite::skip;
  test::on_ranks(3, [&](const World& world) {
    SharedRun mine(kObjective<EdmOptions>, options, world);
    const Tensor before = test::flat(mine.models.student.parameters());
    Batch batch = test::tiny_batch(0, 2);
    if (world.rank() == 2) batch.x = batch.x / 0.0;
    mine.trainer.step(batch);
    EXPECT_EQ(mine.trainer.skipped(), 1);
    EXPECT_TRUE(torch::equal(test::flat(mine.models.student.parameters()), before));
  });
}

}  // namespace
}  // namespace cm
