#include "cm/kernels/device_graph.h"

#ifdef CM_CUDA_KERNELS
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#endif

namespace cm {

#ifdef CM_CUDA_KERNELS

struct DeviceGraph::State {
  torch::Device device;
  at::cuda::CUDAGraph graph;
};

namespace {

// What a failed recording leaves behind is of no interest any more.
void abandon(at::cuda::CUDAGraph& graph) {
  try {
    graph.capture_end();
  } catch (const std::exception&) {
    cudaGetLastError();
  }
}

}  // namespace

bool DeviceGraph::is_available(const torch::Device& device) {
  return device.is_cuda();
}

DeviceGraph::DeviceGraph(const torch::Device& device, const std::function<void()>& body)
    : state_(std::make_unique<State>(State{.device = device, .graph = {}})) {
  const c10::cuda::CUDAGuard on_device(device);
  const auto stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index());
  c10::cuda::device_synchronize();
  {
    const c10::cuda::CUDAStreamGuard on_stream(stream);
    // Thread-local: other threads go on loading images into pinned memory.
    state_->graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    try {
      body();
    } catch (...) {
      abandon(state_->graph);
      throw;
    }
    state_->graph.capture_end();
  }
  c10::cuda::device_synchronize();
}

void DeviceGraph::play() {
  const c10::cuda::CUDAGuard on_device(state_->device);
  state_->graph.replay();
}

#else

struct DeviceGraph::State {};

bool DeviceGraph::is_available(const torch::Device& /*device*/) {
  return false;
}

DeviceGraph::DeviceGraph(const torch::Device& device, const std::function<void()>& /*body*/) {
  TORCH_CHECK(false, "nothing can be recorded on ", device, " by a library that was built without nvcc");
}

void DeviceGraph::play() {}

#endif

DeviceGraph::~DeviceGraph() = default;

}  // namespace cm
