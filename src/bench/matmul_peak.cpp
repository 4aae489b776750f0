#include "matmul_peak.h"

#include <array>
#include <chrono>

namespace cm {
namespace {

constexpr std::array<int64_t, 3> kCpuSizes = {512, 1024, 2048};
constexpr std::array<int64_t, 3> kGpuSizes = {2048, 4096, 8192};
constexpr int64_t kMostProducts = 200;

}  // namespace

MatmulPeak measure_matmul_peak(const torch::Device& device, torch::ScalarType dtype, double seconds) {
  const auto& sizes = device.is_cpu() ? kCpuSizes : kGpuSizes;
  MatmulPeak peak;
  for (const int64_t n : sizes) {
    const auto options = torch::TensorOptions(dtype).device(device);
    const Tensor a = torch::full({n, n}, 0.5, options);
    const Tensor b = torch::full({n, n}, 0.25, options);
    Tensor product = torch::empty({n, n}, options);
    const Repeats repeats = measure_repeats(
        {.warmup = 1, .steps = kMostProducts, .max_seconds = seconds / static_cast<double>(sizes.size())},
        device, [&] { at::mm_out(product, a, b); });
    const double flops = 2 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
    const double rate = flops / smallest(repeats.wall_ms) / 1e6;
    if (rate > peak.gflops_per_second) peak = {.gflops_per_second = rate, .size = n, .repeats = repeats};
  }
  return peak;
}

}  // namespace cm
