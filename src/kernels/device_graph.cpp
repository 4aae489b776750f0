#include "cm/kernels/device_graph.h"

#include "cm/base/gpus.h"
#include "cm/base/text.h"
#include "device_graph_cuda.h"

namespace cm {
namespace {

auto recorder() {
  static auto* const record = cuda_function<decltype(cm_record_work)>("cm_record_work");
  return record;
}

}  // namespace

std::optional<std::string> DeviceGraph::obstacle(const torch::Device& device) {
  if (!device.is_cuda()) return concat("device ", device.str());
  if (recorder() == nullptr) {
    return concat("device ", device.str(),
                  ", by a build without nvcc, or without its libconsistency_cuda.so beside it");
  }
  return std::nullopt;
}

DeviceGraph::DeviceGraph(const torch::Device& device, const std::function<void()>& body) {
  const auto found = obstacle(device);
  TORCH_CHECK(!found, "nothing can be recorded on ", found.value_or(""));
  work_.reset(recorder()(device, body));
}

void DeviceGraph::play() {
  work_->play();
}

DeviceGraph::~DeviceGraph() = default;

}  // namespace cm
