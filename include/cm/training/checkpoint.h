// A run's state on disk, as training leaves it there (src/training/checkpoint_writer.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "cm/training/trainer.h"

namespace cm {

// The checkpoint that `latest` leads to, or the newest where it leads nowhere; nullopt when there is none.
std::optional<std::filesystem::path> latest_checkpoint(const std::filesystem::path& run);

// The step of a checkpoint folder; nullopt when `folder` is none.
std::optional<int64_t> checkpoint_step(const std::filesystem::path& folder);

// What a checkpoint folder says of itself; nullopt when `folder` is none.
struct CheckpointSummary {
  int64_t step = 0;
  int64_t steps_in_stage = 0;          // since the averages were started
  std::vector<AverageState> averages;  // by their rates, ascending, then by their σ_rel
};
std::optional<CheckpointSummary> checkpoint_summary(const std::filesystem::path& folder);

// Puts a trainer into the state that was saved, bit for bit. InputError when a file is missing, broken or of
// another network.
void load_checkpoint(const std::filesystem::path& checkpoint, Trainer& trainer);

}  // namespace cm
