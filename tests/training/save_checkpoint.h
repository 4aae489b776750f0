#pragma once

#include "src/training/checkpoint_writer.h"

namespace cm::test {

// Saves a checkpoint and waits until it is written.
inline void save_checkpoint(const std::filesystem::path& run, Trainer& trainer, int64_t keep) {
  TrainOptions options;
  options.keep_checkpoints = keep;
  CheckpointWriter writer(run, options);
  writer.save(trainer);
  writer.finish();
}

}  // namespace cm::test
