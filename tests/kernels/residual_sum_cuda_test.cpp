// The kernel for GPUs of residual sums, run on the host: what it computes, not how fast.
#include "kernels/cuda_on_host.h"
// Behind it:
#include <gmock/gmock.h>

#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "cm/kernels/residual_sum.h"
#include "kernels/guarded_array.h"
#include "src/kernels/cuda_call.h"
#include "src/kernels/residual_sum_kernels.cuh"

namespace cm {
namespace {

using cuda_on_host::HostLaunch;
using cuda_on_host::Order;

constexpr double kGpuFactor = 0.5;  // whose products are exact, so that one rounding is left

struct SumCase {
  std::vector<int64_t> shape;
  bool last;
  bool aligned;
  bool biased;
};

// The kernel's sum of numbers that lie where the case says, and the exact one, rounded once.
void expect_sum(const SumCase& it, torch::Dtype type) {
  const auto format = it.last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  const auto draw = [&](uint64_t seed) {
    return normal({.seed = seed}, {0}, it.shape)[0].to(type).contiguous(format);
  };
  const auto memory = [&](const Tensor& x) {
    return test::Guarded(torch::empty({0}, type).set_(x.storage(), 0, {x.numel()}), it.aligned);
  };
  const Tensor kept = draw(1);
  const Tensor image = draw(2);
  const Tensor bias = it.biased ? normal({.seed = 3}, {0}, {it.shape[1]})[0] : Tensor();
  const auto kept_there = memory(kept);
  const auto image_there = memory(image);
  const test::Guarded y(kept.numel(), type, it.aligned);
  residual_sum_cuda::launch_write(HostLaunch<residual_sum_cuda::kThreads>{Order::downwards},
                                  {.batch = it.shape[0],
                                   .channels = it.shape[1],
                                   .positions = it.shape[2] * it.shape[3],
                                   .channels_last = it.last,
                                   .kept = kept_there.data(),
                                   .image = image_there.data(),
                                   .bias = it.biased ? bias.const_data_ptr<float>() : nullptr,
                                   .factor = static_cast<float>(kGpuFactor),
                                   .y = y.data()},
                                  cuda::number_of(kept));
  const Tensor expected =
      plain_residual_sum(kept.to(torch::kFloat32), {image.to(torch::kFloat32), bias}, kGpuFactor).to(type);
  EXPECT_TRUE(torch::equal(y.inside().as_strided(kept.sizes(), kept.strides()), expected))
      << kept.sizes() << ' ' << type << it.last << it.aligned << it.biased;
  EXPECT_TRUE(kept_there.margins_are_whole() && image_there.margins_are_whole() && y.margins_are_whole());
}

// Rows that vectors fill and that they do not; more numbers than a block has.
TEST(ResidualSumForGpus, IsItsOperators) {
  for (const auto type : test::kNumberTypes) {
    for (const auto& shape : std::vector<std::vector<int64_t>>{{2, 32, 8, 8}, {3, 5, 7, 3}, {2, 24, 2, 4}}) {
      for (const int options : {0, 1, 2, 3, 4, 5, 6, 7}) {
        expect_sum({.shape = shape,
                    .last = (options & 1) != 0,
                    .aligned = (options & 2) != 0,
                    .biased = (options & 4) != 0},
                   type);
      }
    }
  }
}

}  // namespace
}  // namespace cm
