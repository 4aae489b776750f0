#include "cm/kernels/device_graph.h"

#ifdef CM_CUDA_KERNELS
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#endif

#include "cm/base/text.h"

namespace cm {

#ifdef CM_CUDA_KERNELS

struct DeviceGraph::State {
  torch::Device device;
  at::cuda::CUDAGraph graph;
};

namespace {

constexpr bool kBuiltForGpus = true;

// What a failed recording leaves behind is of no interest any more.
void abandon(at::cuda::CUDAGraph& graph) {
  try {
    graph.capture_end();
  } catch (const std::exception&) {
    cudaGetLastError();
  }
}

void record(at::cuda::CUDAGraph& graph, const torch::Device& device, const std::function<void()>& body) {
  const c10::cuda::CUDAGuard on_device(device);
  const auto stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index());
  c10::cuda::device_synchronize();
  {
    const c10::cuda::CUDAStreamGuard on_stream(stream);
    // Thread-local: other threads go on loading images into pinned memory.
    graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    try {
      body();
    } catch (...) {
      abandon(graph);
      throw;
    }
    graph.capture_end();
  }
  c10::cuda::device_synchronize();
}

void replay(at::cuda::CUDAGraph& graph, const torch::Device& device) {
  const c10::cuda::CUDAGuard on_device(device);
  graph.replay();
}

}  // namespace

#else

struct DeviceGraph::State {
  torch::Device device;
  int graph;
};

namespace {

constexpr bool kBuiltForGpus = false;

void record(int /*graph*/, const torch::Device& /*device*/, const std::function<void()>& /*body*/) {}
void replay(int /*graph*/, const torch::Device& /*device*/) {}

}  // namespace

#endif

std::optional<std::string> DeviceGraph::obstacle(const torch::Device& device) {
  if (!device.is_cuda()) return concat("device ", device.str());
  if (!kBuiltForGpus) return concat("device ", device.str(), ", by a build without nvcc");
  return std::nullopt;
}

DeviceGraph::DeviceGraph(const torch::Device& device, const std::function<void()>& body) {
  const auto found = obstacle(device);
  TORCH_CHECK(!found, "nothing can be recorded on ", found.value_or(""));
  state_ = std::make_unique<State>(State{.device = device, .graph = {}});
  record(state_->graph, device, body);
}

void DeviceGraph::play() {
  replay(state_->graph, state_->device);
}

DeviceGraph::~DeviceGraph() = default;

}  // namespace cm
