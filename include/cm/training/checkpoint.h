// A run's state on disk, as training leaves it there (src/training/checkpoint_writer.h), and which weights of
// it to use.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "cm/training/trainer.h"

namespace cm {

// The checkpoint that `latest` leads to, or the newest where it leads nowhere; nullopt when there is none.
std::optional<std::filesystem::path> latest_checkpoint(const std::filesystem::path& run);

// What a checkpoint folder says of itself; nullopt when `folder` is none.
struct CheckpointSummary {
  int64_t step = 0;
  int64_t steps_in_stage = 0;          // since the averages were started
  std::vector<AverageState> averages;  // by their rates, ascending
};
std::optional<CheckpointSummary> checkpoint_summary(const std::filesystem::path& folder);

// Where in training weights were saved.
struct WeightOrigin {
  std::filesystem::path run;  // the folder that holds the checkpoint, or the run that holds that
  int64_t step = 0;
  std::optional<double> ema;  // the rate of an evaluation average; none for other weights
};

// nullopt for a weight file that lies in no checkpoint.
std::optional<WeightOrigin> origin_of(const std::filesystem::path& weights);

// Puts a trainer into the state that was saved, bit for bit. InputError when a file is missing, broken or of
// another network.
void load_checkpoint(const std::filesystem::path& checkpoint, Trainer& trainer);

// A weight file, and in words which weights these are and why they were taken.
struct ResolvedWeights {
  std::filesystem::path file;
  std::string why;
};

// The weight file that `source` means: a weight file itself, that of a diffusers folder, or one of a
// checkpoint folder or of a run's latest checkpoint. There, in the latter two, `ema` chooses the evaluation
// average (0: the trained weights themselves); by default it is the one of settled_rate, the largest rate
// that has forgotten its start, or the trained weights when there is none. InputError when nothing fits, with
// what there is.
ResolvedWeights resolve_weights(const std::filesystem::path& source,
                                std::optional<double> ema = std::nullopt);

}  // namespace cm
