#include "cm/training/recorded_step.h"

namespace cm {
namespace {

// The tensors of a batch that differ from step to step: T = Tensor* or const Tensor*.
template <class T, class Batch>
std::vector<T> places_in(Batch& batch) {
  std::vector<T> places = {&batch.x, &batch.draws->noise};
  for (auto& level : batch.draws->levels) places.push_back(&level);
  if (batch.labels.defined()) places.push_back(&batch.labels);
  return places;
}

std::vector<Tensor> tensors_of(const TrainingBatch& batch) {
  std::vector<Tensor> tensors;
  for (const Tensor* place : places_in<const Tensor*>(batch)) tensors.push_back(*place);
  return tensors;
}

TrainingBatch with(TrainingBatch batch, const std::vector<Tensor>& tensors) {
  size_t i = 0;
  for (Tensor* place : places_in<Tensor*>(batch)) *place = tensors[i++];
  return batch;
}

}  // namespace

RecordedStep::RecordedStep(const torch::Device& device, Body body)
    : body_(std::move(body)),
      call_("train.cuda_graph: the step", device,
            [this](const std::vector<Tensor>& inputs) { return compute(inputs); }) {}

StepResult RecordedStep::run(const TrainingBatch& batch) {
  batch_ = batch;
  const std::vector<Tensor> outputs = call_.run(tensors_of(batch));
  return {outputs[0], outputs[1], outputs[2], outputs[3]};
}

std::vector<Tensor> RecordedStep::compute(const std::vector<Tensor>& inputs) const {
  const StepResult result = body_(with(batch_, inputs));
  return {result.loss, result.gradient_norm, result.usable, result.bad};
}

}  // namespace cm
