// A training step that is recorded on a GPU once (cm/kernels/device_graph.h) and played for every batch
// after.
#pragma once

#include <functional>
#include <memory>

#include "cm/kernels/device_graph.h"
#include "cm/training/objective.h"

namespace cm {

// What one step leaves behind, on the device: nothing here has been waited for.
struct StepResult {
  Tensor loss;           // mean over the batch of all ranks
  Tensor gradient_norm;  // before clipping
  Tensor usable;         // bool: whether loss and gradient are finite, so that the weights changed
  Tensor bad;            // bool: not usable, and not for a loss scale that was too large
};

class RecordedStep {
 public:
  // `body` does a whole step with a batch and its draws, reading nothing else that changes from step to step
  // but memory that stays where it is.
  using Body = std::function<StepResult(const TrainingBatch& batch)>;
  RecordedStep(const torch::Device& device, Body body);

  // Does a step with this batch, whose shapes are those of the first. The first steps run as they are; then
  // one is recorded. If that fails a line of the log says why, and all steps run as they are.
  StepResult run(const TrainingBatch& batch);

  // Steps that were played so far.
  int64_t played() const { return played_; }

 private:
  void record(const TrainingBatch& batch);

  torch::Device device_;
  Body body_;
  int64_t run_as_they_are_ = 0;
  bool failed_ = false;
  int64_t played_ = 0;
  TrainingBatch input_;  // where the graph reads
  StepResult output_;    // where it writes
  std::unique_ptr<DeviceGraph> graph_;
};

}  // namespace cm
