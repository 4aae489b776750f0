// The kernel for GPUs of dropout, run on the host: what it computes, not how fast.
#include "kernels/cuda_on_host.h"
// Behind it:
#include <gmock/gmock.h>

#include "cm/base/random.h"
#include "cm/kernels/dropout.h"
#include "cm/kernels/normal.h"
#include "kernels/guarded_array.h"
#include "src/kernels/cuda_call.h"
#include "src/kernels/dropout_kernels.cuh"
#include "support/dropout_keys.h"

namespace cm {
namespace {

using cuda_on_host::HostLaunch;
using cuda_on_host::Order;

constexpr double kGpuRate = 0.25;  // whose scale and products are exact enough to compare bits

// Fewer channels than a counter has words, more, as many; in both layouts, of all types.
TEST(DropoutForGpus, IsItsOperators) {
  for (const auto type : test::kNumberTypes) {
    for (const auto& shape : std::vector<std::vector<int64_t>>{{2, 3, 2, 2}, {3, 8, 5, 7}, {1, 10, 9, 3}}) {
      for (const bool last : {false, true}) {
        const auto format = last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
        const Tensor x = normal({.seed = 1}, {0}, shape)[0].to(type).contiguous(format);
        const Tensor keys = test::dropout_keys(2, shape[0]);
        const test::Guarded in(torch::empty({0}).set_(x.storage(), 0, {x.numel()}), true);
        const test::Guarded out(x.numel(), type);
        const DropoutMask mask{.keys = keys.const_data_ptr<int64_t>(),
                               .batch = shape[0],
                               .channels = shape[1],
                               .positions = shape[2] * shape[3],
                               .channels_last = last,
                               .layer = 5,
                               .purpose = static_cast<uint32_t>(Purpose::dropout),
                               .threshold = 1U << 22,
                               .scale = static_cast<float>(1 / (1 - kGpuRate))};
        dropout_cuda::launch_apply(HostLaunch<dropout_cuda::kThreads>{Order::downwards}, mask,
                                   {.type = cuda::number_of(x), .x = in.data(), .y = out.data()});
        const Tensor expected = plain_dropout(x, keys, kGpuRate, 5).contiguous(format);
        EXPECT_TRUE(torch::equal(out.inside().as_strided(x.sizes(), x.strides()), expected))
            << x.sizes() << " " << type << (last ? ", channels last" : "");
        EXPECT_TRUE(in.margins_are_whole() && out.margins_are_whole());
      }
    }
  }
}

}  // namespace
}  // namespace cm
