#include "cm/training/recorded_step.h"

#include "cm/base/log.h"
#include "cm/base/text.h"

namespace cm {
namespace {

// In which libraries choose their algorithms and caches fill.
constexpr int64_t kFirstSteps = 3;

// The tensors of a batch that differ from step to step.
std::vector<Tensor> tensors_of(const TrainingBatch& batch) {
  std::vector<Tensor> tensors = {batch.x, batch.draws->noise};
  tensors.insert(tensors.end(), batch.draws->levels.begin(), batch.draws->levels.end());
  if (batch.labels.defined()) tensors.push_back(batch.labels);
  return tensors;
}

TrainingBatch copy_of(const TrainingBatch& batch) {
  TrainingBatch copy = batch;
  copy.x = batch.x.clone();
  if (batch.labels.defined()) copy.labels = batch.labels.clone();
  copy.draws->noise = batch.draws->noise.clone();
  for (Tensor& level : copy.draws->levels) level = level.clone();
  return copy;
}

}  // namespace

RecordedStep::RecordedStep(const torch::Device& device, Body body)
    : device_(device), body_(std::move(body)) {}

StepResult RecordedStep::run(const TrainingBatch& batch) {
  if (!graph_ && !failed_ && run_as_they_are_ == kFirstSteps) record(batch);
  if (!graph_) {
    ++run_as_they_are_;
    return body_(batch);
  }
  const std::vector<Tensor> from = tensors_of(batch);
  const std::vector<Tensor> to = tensors_of(input_);
  for (size_t i = 0; i < to.size(); ++i) to[i].copy_(from[i], /*non_blocking=*/true);
  graph_->play();
  ++played_;
  // The next step writes over the graph's own.
  return {output_.loss.clone(), output_.gradient_norm.clone(), output_.usable.clone(), output_.bad.clone()};
}

void RecordedStep::record(const TrainingBatch& batch) {
  input_ = copy_of(batch);
  try {
    graph_ = std::make_unique<DeviceGraph>(device_, [this] { output_ = body_(input_); });
  } catch (const c10::Error& error) {
    failed_ = true;
    input_ = {};
    output_ = {};
    log_warning(concat("train.cuda_graph: the step cannot be recorded, and runs as it is: ",
                       error.what_without_backtrace()));
  }
}

}  // namespace cm
