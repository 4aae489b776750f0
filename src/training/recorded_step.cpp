#include "cm/training/recorded_step.h"

namespace cm {
namespace {

// The tensors of a batch that differ from step to step.
std::vector<Tensor*> places_in(TrainingBatch& batch) {
  std::vector<Tensor*> places = {&batch.x, &batch.draws->noise};
  for (Tensor& level : batch.draws->levels) places.push_back(&level);
  for (Tensor* optional : {&batch.draws->dropout_keys, &batch.labels}) {
    if (optional->defined()) places.push_back(optional);
  }
  return places;
}

}  // namespace

RecordedStep::RecordedStep(const torch::Device& device, Body body)
    : body_(std::move(body)),
      call_("train.cuda_graph: the step", device,
            [this](const std::vector<Tensor>& inputs) -> std::vector<Tensor> {
              size_t i = 0;
              for (Tensor* place : places_in(batch_)) *place = inputs[i++];
              const StepResult result = body_(batch_);
              return {result.loss, result.gradient_norm, result.usable, result.bad};
            }) {}

StepResult RecordedStep::run(const TrainingBatch& batch) {
  batch_ = batch;
  std::vector<Tensor> inputs;
  for (const Tensor* place : places_in(batch_)) inputs.push_back(*place);
  const std::vector<Tensor> outputs = call_.run(inputs);
  return {outputs[0], outputs[1], outputs[2], outputs[3]};
}

}  // namespace cm
