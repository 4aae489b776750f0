#include "device_graph_cuda.h"

#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>

namespace cm {
namespace {

// What a failed recording leaves behind is of no interest any more.
void abandon(at::cuda::CUDAGraph& graph) {
  try {
    graph.capture_end();
  } catch (const std::exception&) {
    cudaGetLastError();
  }
}

class CudaGraph : public RecordedWork {
 public:
  CudaGraph(const torch::Device& device, const std::function<void()>& body) : device_(device) {
    const c10::cuda::CUDAGuard on_device(device);
    const auto stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index());
    c10::cuda::device_synchronize();
    {
      const c10::cuda::CUDAStreamGuard on_stream(stream);
      // Thread-local: other threads go on loading images into pinned memory.
      graph_.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
      try {
        body();
      } catch (...) {
        abandon(graph_);
        throw;
      }
      graph_.capture_end();
    }
    c10::cuda::device_synchronize();
  }

  void play() override {
    const c10::cuda::CUDAGuard on_device(device_);
    graph_.replay();
  }

 private:
  torch::Device device_;
  at::cuda::CUDAGraph graph_;
};

}  // namespace
}  // namespace cm

cm::RecordedWork* cm_record_work(const torch::Device& device, const std::function<void()>& body) {
  return std::make_unique<cm::CudaGraph>(device, body).release();
}
