#include "cm/kernels/normal.h"

#include <torch/types.h>

#include <algorithm>

#include "cuda_call.h"
#include "normal_cpu.h"
#include "normal_cuda.h"

namespace cm {
namespace {

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
  const bool on_gpu = cuda::has_kernels_for(device);
  const bool copied = !on_gpu && !device.is_cpu();
  counted(Kernel::normal, copied ? std::optional(Obstacle::device) : std::nullopt);
  std::vector<int64_t> sizes = {static_cast<int64_t>(samples.size())};
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  const Tensor out = torch::empty(sizes, torch::TensorOptions(on_gpu ? device : torch::kCPU)
                                             .dtype(torch::kFloat32)
                                             .pinned_memory(copied));  // for a copy that nobody waits for
  if (out.numel() > 0) {
    on_gpu ? fill_on_gpu(key, samples, out) : normal_cpu::fill(rows_of(key, samples.data(), out));
  }
  return out.to(device, /*non_blocking=*/true);
}

}  // namespace cm
