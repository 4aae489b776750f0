// What a GPU does over and over with tensors of the same shapes: recorded once (cm/kernels/device_graph.h)
// and played for every call after.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cm/base/tensor.h"

namespace cm {

class RecordedCall {
 public:
  // From defined tensors on the device to tensors on it. It reads nothing else that changes from call to call
  // but memory that stays where it is.
  using Body = std::function<std::vector<Tensor>(const std::vector<Tensor>& inputs)>;
  // Records `work` and returns what plays it; c10::Error when something in it cannot be recorded.
  using Recorder = std::function<std::function<void()>(const std::function<void()>& work)>;

  // `what` names switch and work in the log: "train.cuda_graph: the step".
  RecordedCall(std::string what, Body body, Recorder recorder);

  // The same on a device of which DeviceGraph::obstacle has nothing to say.
  RecordedCall(std::string what, const torch::Device& device, Body body);

  // What the body makes of these inputs. The first calls run as they are; then one is recorded, of the shapes
  // and types of the first, and calls of other shapes go on to run as they are. If recording fails a line of
  // the log says why, and all calls run as they are.
  std::vector<Tensor> run(const std::vector<Tensor>& inputs);

  // Calls that were played so far.
  int64_t played() const { return played_; }

 private:
  bool takes(const std::vector<Tensor>& inputs) const;
  void record(const std::vector<Tensor>& inputs);

  std::string what_;
  Body body_;
  Recorder recorder_;
  std::vector<Tensor> shapes_;  // of the first call: tensors without memory
  int64_t run_as_they_are_ = 0;
  bool failed_ = false;
  int64_t played_ = 0;
  std::vector<Tensor> inputs_;   // where the graph reads
  std::vector<Tensor> outputs_;  // where it writes
  std::function<void()> play_;
};

}  // namespace cm
