// The kernel for GPUs that draws unit normals, run on the host: what it computes, not how fast.
#include "kernels/cuda_on_host.h"
// Behind it:
#include <gmock/gmock.h>

#include "cm/kernels/normal.h"
#include "kernels/guarded_array.h"
#include "src/kernels/normal_kernels.cuh"

namespace cm {
namespace {

using cuda_on_host::HostLaunch;
using cuda_on_host::Order;

// Rows that fill no block and more than one, and whose last counter has numbers too many.
TEST(NormalForGpus, AreTheHostsNumbersToTheBit) {
  const RandomKey key{.seed = 0x123456789abcdef, .purpose = Purpose::sampling_noise, .step = 3};
  const std::vector<int64_t> samples = {0, 7, 4'000'000'000};
  const auto count = static_cast<int64_t>(samples.size());
  for (const int64_t width : {1, 4, 5, 1023, 2048}) {
    const Tensor expected = normal(key, samples, {width});
    for (const Order order : {Order::upwards, Order::downwards}) {
      const test::Guarded out(count * width, torch::kFloat32);
      normal_cuda::launch_fill(HostLaunch<normal_cuda::kThreads>{order},
                               {.seed = key.seed,
                                .step = key.step,
                                .purpose = static_cast<uint32_t>(key.purpose),
                                .samples = samples.data(),
                                .count = count,
                                .width = width,
                                .out = out.floats()});
      EXPECT_TRUE(torch::equal(out.inside(), expected.flatten())) << width;
      EXPECT_TRUE(out.margins_are_whole());
    }
  }
}

}  // namespace
}  // namespace cm
