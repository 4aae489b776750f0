#include "cm/kernels/normal.h"

#include <torch/types.h>

#include "cuda_call.h"
#include "normal_cpu.h"
#include "normal_cuda.h"

namespace cm {
namespace {

// [samples.size(), shape…], without its numbers; on the host for a GPU in page-locked memory.
Tensor empty_rows(size_t count, const std::vector<int64_t>& shape, const torch::TensorOptions& options) {
  std::vector<int64_t> sizes = {static_cast<int64_t>(count)};
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  return torch::empty(sizes, options.dtype(torch::kFloat32));
}

NormalRows rows_of(const RandomKey& key, const int64_t* samples, const Tensor& out) {
  return {.seed = key.seed,
          .step = key.step,
          .purpose = static_cast<uint32_t>(key.purpose),
          .samples = samples,
          .count = out.size(0),
          .width = out.numel() / out.size(0),
          .out = out.data_ptr<float>()};
}

void fill_on_gpu(const RandomKey& key, const std::vector<int64_t>& samples, const Tensor& out) {
  const cuda::Call call(out.device());
  const auto count = static_cast<int64_t>(samples.size());
  Tensor host = torch::empty({count}, torch::TensorOptions(torch::kInt64).pinned_memory(true));
  std::copy(samples.begin(), samples.end(), host.data_ptr<int64_t>());
  const Tensor on_device = host.to(out.device(), /*non_blocking=*/true);
  const char* problem = nullptr;
  if constexpr (cuda::is_built) {
    problem = normal_cuda::fill(rows_of(key, on_device.const_data_ptr<int64_t>(), out), call.stream());
  }
  TORCH_CHECK(problem == nullptr, "drawing noise on a GPU failed: ", problem);
}

}  // namespace

Tensor normal(const RandomKey& key, const std::vector<int64_t>& samples, const std::vector<int64_t>& shape,
              const torch::Device& device) {
  const bool on_host = device.is_cpu() || !cuda::has_kernels_for(device);
  const auto obstacle = on_host && !device.is_cpu() ? std::optional(Obstacle::device) : std::nullopt;
  counted(Kernel::normal, obstacle);
  const torch::TensorOptions options = torch::TensorOptions(on_host ? torch::kCPU : device);
  const Tensor out = empty_rows(samples.size(), shape, options.pinned_memory(obstacle.has_value()));
  if (out.numel() > 0) {
    on_host ? normal_cpu::fill(rows_of(key, samples.data(), out)) : fill_on_gpu(key, samples, out);
  }
  return out.to(device, /*non_blocking=*/true);
}

}  // namespace cm
