// Writes a run's checkpoints, and snapshots of its averages, while training goes on. All ranks save together:
// rank 0 writes, the others give it their parts of what is cut, so that the files are those of one process.
//
//   RUN/checkpoints/step-00001000/{model,optimizer,ema-RATE,power-STD}.safetensors, state.json
//   and where the method has them: target.safetensors; teacher.safetensors, where stages change the teacher;
//   objective.safetensors, what the loss learns
//   RUN/checkpoints/latest → step-00001000     (swung when the checkpoint is complete)
#pragma once

#include <filesystem>
#include <functional>
#include <future>
#include <string>
#include <vector>

#include "cm/training/trainer.h"

namespace cm {

// Of the checkpoints after `steps` (ascending), those that TrainOptions and stages do not keep: all but the
// newest keep_checkpoints, the first of every keep_every steps, and each for which `ends_stage`.
std::vector<int64_t> superseded(const std::vector<int64_t>& steps, const TrainOptions& options,
                                const std::function<bool(int64_t step)>& ends_stage);

class CheckpointWriter {
 public:
  // What saving has cost so far.
  struct Cost {
    int64_t count = 0;
    double bytes = 0;            // of all checkpoints' tensors
    double seconds = 0;          // from the begin of each to its end
    double seconds_stalled = 0;  // that save() took of these
  };

  CheckpointWriter(std::filesystem::path run, const TrainOptions& options)
      : run_(std::move(run)), options_(options) {}
  // Waits for what is being written; a failure is a warning.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Saves the trainer's state as it stands as checkpoint step-<steps done>, then swings `latest` to it and
  // removes what it supersedes. Returns when the state is copied, or with save_in_background false when all
  // is written. Waits for the checkpoint before, if it is not written yet. Error when the disk fails, for
  // this checkpoint possibly only in the next call: then `latest` and what it names stay as they were.
  void save(Trainer& trainer);

  // Saves the averages by power functions as they stand to RUN/averages, in the same manner. What it is
  // called for before save() is on the disk before that checkpoint.
  void save_snapshots(Trainer& trainer);

  // Throws the Error of the last save, if it has failed by now. Waits for nothing.
  void check();

  // Waits until all is written.
  void finish();

  const Cost& cost() const { return cost_; }

 private:
  void finish_checkpoint();

  std::filesystem::path run_;
  TrainOptions options_;
  std::vector<Tensor> host_copies_;  // of what is being written; the next checkpoint uses them again
  std::future<double> checkpoint_;   // being written; the seconds since its save began
  std::future<void> snapshots_;      // being written, and no checkpoint is that waits for them
  Cost cost_;
};

}  // namespace cm
