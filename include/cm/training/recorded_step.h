// A training step that is recorded on a GPU once and played for every batch after.
#pragma once

#include <functional>

#include "cm/training/objective.h"
#include "cm/training/recorded_call.h"

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
  RecordedStep(const RecordedStep&) = delete;
  RecordedStep& operator=(const RecordedStep&) = delete;

  // Does a step with this batch, as RecordedCall.
  StepResult run(const TrainingBatch& batch);

  // Steps that were played so far.
  int64_t played() const { return call_.played(); }

 private:
  Body body_;
  TrainingBatch batch_;  // the latest, for what is no tensor in it
  RecordedCall call_;
};

}  // namespace cm
