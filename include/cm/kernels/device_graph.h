// Work of a GPU that is the same over and over, recorded once and played again without the host's launches: a
// CUDA graph.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cm/base/tensor.h"

namespace cm {

class RecordedWork;

class DeviceGraph {
 public:
  // Why this library cannot record on the device, if so: it is no GPU, or the library was built without nvcc.
  static std::optional<std::string> obstacle(const torch::Device& device);

  // Records what `body` queues on the device; nothing of it runs yet. It must neither wait for the device nor
  // read memory that goes away; what it allocates stays the graph's. It should have run before, so that
  // libraries have chosen their algorithms. c10::Error, with the device usable as before, when something in
  // it cannot be recorded.
  DeviceGraph(const torch::Device& device, const std::function<void()>& body);
  ~DeviceGraph();
  DeviceGraph(const DeviceGraph&) = delete;
  DeviceGraph& operator=(const DeviceGraph&) = delete;

  // Queues all of it on the current stream.
  void play();

 private:
  std::unique_ptr<RecordedWork> work_;
};

}  // namespace cm
