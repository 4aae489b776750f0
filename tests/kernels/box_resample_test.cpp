#include "cm/kernels/box_resample.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "cm/base/dual.h"
#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "cm/kernels/paths.h"
#include "support/closeness.h"
#include "support/devices.h"
#include "support/dual_level.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::largest_difference;

Tensor box_input(const std::vector<int64_t>& shape, at::MemoryFormat format) {
  return normal({.seed = 1}, sample_range(0, shape[0]), {shape.begin() + 1, shape.end()}).contiguous(format);
}

using BoxPass = Tensor (*)(const Tensor&, double);

struct BoxPair {
  Kernel kernel;
  BoxPass ours;
  BoxPass plain;
};

constexpr std::array kBoxPairs = {BoxPair{Kernel::spread_2x2, spread_2x2, plain_spread_2x2},
                                  BoxPair{Kernel::gather_2x2, gather_2x2, plain_gather_2x2}};

// Channels that do and do not fill vectors, sides that differ, an only channel, an only pixel of the result.
const std::vector<std::vector<int64_t>> kBoxShapes = {
    {2, 32, 8, 4}, {3, 21, 2, 6}, {1, 1, 4, 4}, {2, 40, 2, 2}};

template <class Check>
void for_each_box(const Check& check) {
  for (const auto& shape : kBoxShapes) {
    for (const auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
      for (const BoxPair& pair : kBoxPairs) {
        SCOPED_TRACE(testing::Message()
                     << at::IntArrayRef(shape) << ' ' << format << ' ' << to_string(pair.kernel));
        check(pair, box_input(shape, format));
      }
    }
  }
}

TEST(BoxResample, AndItsGradientAreTheOperatorsInDouble) {
  for_each_box([](const BoxPair& pair, const Tensor& x) {
    for (const double factor : {1.0, 0.25}) {
      const Tensor single = x.clone().requires_grad_(true);
      const Tensor exact = x.to(torch::kFloat64).requires_grad_(true);
      const Tensor y = pair.ours(single, factor);
      const Tensor expected = pair.plain(exact, factor);
      EXPECT_LT(largest_difference(y, expected), 1e-6);
      EXPECT_TRUE(y.is_contiguous(x.suggest_memory_format()));
      const Tensor dy = y.detach().cos();
      const Tensor dx = torch::autograd::grad({y}, {single}, {dy})[0];
      EXPECT_LT(
          largest_difference(dx, torch::autograd::grad({expected}, {exact}, {dy.to(torch::kFloat64)})[0]),
          1e-6);
      EXPECT_EQ(dx.strides(), x.strides());
    }
  });
}

TEST(BoxResample, IsTheOperatorsOnEveryDevice) {
  for (const auto& device : test::devices()) {
    for_each_box([&](const BoxPair& pair, const Tensor& on_cpu) {
      for (const auto type : {torch::kFloat32, torch::kFloat16, torch::kBFloat16}) {
        if (device.is_cpu() && type != torch::kFloat32) continue;
        const Tensor x = on_cpu.to(device, type);
        Tensor y;
        const KernelCalls calls = kernel_calls_during([&] { y = pair.ours(x, 0.25); });
        EXPECT_EQ(calls.at(pair.kernel), (PathCounts{.by_kernel = 1, .by_operators = {}}));
        const double rounding = type == torch::kFloat32 ? 1e-6 : type == torch::kFloat16 ? 2e-3 : 2e-2;
        EXPECT_LT(largest_difference(y, pair.plain(x.to(torch::kFloat64), 0.25)), rounding) << type;
      }
    });
  }
}

// The gradient of a gradient is the pass itself.
TEST(BoxResample, CanBeDifferentiatedTwice) {
  for_each_box([](const BoxPair& pair, const Tensor& x) {
    const auto second = [&](const Tensor& leaf, BoxPass pass) {
      const Tensor y = pass(leaf, 0.25);
      const auto first = torch::autograd::grad({y.pow(3).sum()}, {leaf}, {}, true, /*create_graph=*/true)[0];
      return torch::autograd::grad({first.pow(2).sum()}, {leaf})[0];
    };
    const Tensor exact = second(x.to(torch::kFloat64).requires_grad_(true), pair.plain);
    EXPECT_LT(test::relative_difference(second(x.clone().requires_grad_(true), pair.ours), exact), 1e-5);
  });
}

TEST(BoxResample, ATangentIsThePassOfTheTangent) {
  for_each_box([](const BoxPair& pair, const Tensor& x) {
    const test::DualLevel level;
    const Tensor y = pair.ours(dual(x.clone().requires_grad_(true), x.cos()), 0.25);
    EXPECT_TRUE(torch::equal(tangent_of(y), pair.ours(x.cos(), 0.25)));
    EXPECT_TRUE(torch::equal(value_of(y), pair.ours(x, 0.25)));
    EXPECT_TRUE(value_of(y).requires_grad());
    EXPECT_FALSE(y._fw_grad(0).requires_grad());
  });
}

TEST(BoxResample, TheNumberOfThreadsChangesNothing) {
  const int threads = at::get_num_threads();
  const Tensor x = box_input({4, 48, 40, 40}, at::MemoryFormat::ChannelsLast);
  for (const BoxPair& pair : kBoxPairs) {
    at::set_num_threads(1);
    const Tensor one = pair.ours(x, 0.25);
    at::set_num_threads(3);
    EXPECT_TRUE(torch::equal(pair.ours(x, 0.25), one));
  }
  at::set_num_threads(threads);
}

// An odd side's last row or column is left out, as LibTorch's pooling does.
TEST(BoxResample, OfOddSidesAndOtherTypesIsTheOperators) {
  const Tensor odd = box_input({2, 4, 5, 4}, at::MemoryFormat::Contiguous);
  EXPECT_TRUE(torch::equal(gather_2x2(odd, 0.25), at::avg_pool2d(odd, 2)));
  EXPECT_EQ(kernel_calls_during([&] { gather_2x2(odd, 1); }).at(Kernel::gather_2x2).by_operators,
            (std::map<Obstacle, int64_t>{{Obstacle::odd_side, 1}}));
  const Tensor precise = box_input({2, 4, 4, 4}, at::MemoryFormat::Contiguous).to(torch::kFloat64);
  EXPECT_TRUE(torch::equal(spread_2x2(precise, 1), plain_spread_2x2(precise, 1)));
  EXPECT_THAT(test::message_of<c10::Error>([] {
                spread_2x2(torch::ones({2, 3}), 1);
              }),
              testing::HasSubstr("the box filter needs x [B, C, H, W], got [2, 3]"));
}

}  // namespace
}  // namespace cm
