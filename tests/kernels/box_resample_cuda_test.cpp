// The kernels for GPUs of the box filter, run on the host: what they compute, not how fast.
#include "kernels/cuda_on_host.h"
// Behind it:
#include <gmock/gmock.h>

#include "cm/base/random.h"
#include "cm/kernels/box_resample.h"
#include "cm/kernels/normal.h"
#include "kernels/guarded_array.h"
#include "src/kernels/box_resample_kernels.cuh"
#include "src/kernels/cuda_call.h"

namespace cm {
namespace {

using cuda_on_host::HostLaunch;
using cuda_on_host::Order;

constexpr double kBoxFactor = 0.25;  // exact, so that the sum's rounding is left

struct BoxCase {
  std::vector<int64_t> shape;  // of `small`
  bool last;
  bool aligned;

  at::MemoryFormat format() const {
    return last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  }
};

Tensor drawn_pixels(const BoxCase& it, int64_t side, torch::Dtype type) {
  const std::vector<int64_t> shape = {it.shape[0], it.shape[1], side * it.shape[2], side * it.shape[3]};
  return normal({.seed = 1}, {0}, shape)[0].to(type).contiguous(it.format());
}

test::Guarded memory_of_pixels(const Tensor& x, bool aligned) {
  return test::Guarded(torch::empty({0}, x.options()).set_(x.storage(), 0, {x.numel()}), aligned);
}

// Each pass from drawn numbers into memory that holds none.
void expect_box(const BoxCase& it, torch::Dtype type) {
  const HostLaunch<box_resample_cuda::kThreads> launch{Order::downwards};
  const auto expect = [&](const Tensor& x, const Tensor& exact, const auto& run) {
    const Tensor expected = exact.to(type).contiguous(it.format());
    const test::Guarded from = memory_of_pixels(x, it.aligned);
    const test::Guarded to(expected.numel(), type, it.aligned);
    run(from.data(), to.data());
    EXPECT_TRUE(torch::equal(to.inside().as_strided(expected.sizes(), expected.strides()), expected))
        << x.sizes() << ' ' << type << it.last << it.aligned;
    EXPECT_TRUE(from.margins_are_whole() && to.margins_are_whole());
  };
  const auto images = [&](void* small, void* large) {
    return BoxImages<void>{.batch = it.shape[0],
                           .channels = it.shape[1],
                           .height = it.shape[2],
                           .width = it.shape[3],
                           .channels_last = it.last,
                           .factor = static_cast<float>(kBoxFactor),
                           .small = small,
                           .large = large};
  };
  const Tensor small = drawn_pixels(it, 1, type);
  expect(small, plain_spread_2x2(small.to(torch::kFloat32), kBoxFactor), [&](void* from, void* to) {
    box_resample_cuda::launch_spread(launch, images(from, to), cuda::number_of(small));
  });
  const Tensor large = drawn_pixels(it, 2, type);
  // In the kernel's order of additions.
  const Tensor x = large.to(torch::kFloat32);
  const auto of_each = [&](int64_t row, int64_t column) {
    return x.slice(2, row, x.size(2), 2).slice(3, column, x.size(3), 2);
  };
  const Tensor sum = (of_each(0, 0) + of_each(0, 1)) + (of_each(1, 0) + of_each(1, 1));
  expect(large, sum * kBoxFactor, [&](void* from, void* to) {
    box_resample_cuda::launch_gather(launch, images(to, from), cuda::number_of(large));
  });
}

// Pixels that vectors fill and that they do not; more numbers than a block has.
TEST(BoxResampleForGpus, IsItsOperators) {
  for (const auto type : test::kNumberTypes) {
    for (const auto& shape : std::vector<std::vector<int64_t>>{{2, 32, 4, 8}, {3, 5, 7, 3}, {1, 24, 1, 1}}) {
      for (const bool last : {false, true}) {
        for (const bool aligned : {false, true}) {
          expect_box({.shape = shape, .last = last, .aligned = aligned}, type);
        }
      }
    }
  }
}

}  // namespace
}  // namespace cm
