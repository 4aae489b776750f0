#include "cm/training/recorded_call.h"

#include <algorithm>
#include <memory>

#include "cm/base/log.h"
#include "cm/base/text.h"
#include "cm/kernels/device_graph.h"

namespace cm {
namespace {

// In which libraries choose their algorithms and caches fill.
constexpr int64_t kFirstCalls = 3;

std::vector<Tensor> copies_of(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> copies;
  for (const Tensor& tensor : tensors) copies.push_back(tensor.clone());
  return copies;
}

std::vector<Tensor> shapes_of(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> shapes;
  for (const Tensor& tensor : tensors) {
    shapes.push_back(torch::empty_like(tensor, tensor.options().device(torch::kMeta)));
  }
  return shapes;
}

RecordedCall::Recorder recorder_on(const torch::Device& device) {
  return [device](const std::function<void()>& work) -> std::function<void()> {
    return [graph = std::make_shared<DeviceGraph>(device, work)] { graph->play(); };
  };
}

}  // namespace

RecordedCall::RecordedCall(std::string what, Body body, Recorder recorder)
    : what_(std::move(what)), body_(std::move(body)), recorder_(std::move(recorder)) {}

RecordedCall::RecordedCall(std::string what, const torch::Device& device, Body body)
    : RecordedCall(std::move(what), std::move(body), recorder_on(device)) {}

std::vector<Tensor> RecordedCall::run(const std::vector<Tensor>& inputs) {
  if (shapes_.empty()) shapes_ = shapes_of(inputs);
  if (failed_ || !takes(inputs)) return body_(inputs);
  if (!play_ && run_as_they_are_ == kFirstCalls) record(inputs);
  if (!play_) {
    ++run_as_they_are_;
    return body_(inputs);
  }
  for (size_t i = 0; i < inputs.size(); ++i) inputs_[i].copy_(inputs[i], /*non_blocking=*/true);
  play_();
  ++played_;
  // The next call writes over the graph's own.
  return copies_of(outputs_);
}

bool RecordedCall::takes(const std::vector<Tensor>& inputs) const {
  return std::equal(inputs.begin(), inputs.end(), shapes_.begin(), shapes_.end(),
                    [](const Tensor& input, const Tensor& shape) {
                      return input.sizes() == shape.sizes() && input.scalar_type() == shape.scalar_type();
                    });
}

void RecordedCall::record(const std::vector<Tensor>& inputs) {
  inputs_ = copies_of(inputs);
  try {
    play_ = recorder_([this] { outputs_ = body_(inputs_); });
  } catch (const c10::Error& error) {
    failed_ = true;
    inputs_.clear();
    outputs_.clear();
    log_warning(concat(what_, " cannot be recorded, and runs as it is: ", error.what_without_backtrace()));
  }
}

}  // namespace cm
