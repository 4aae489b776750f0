#include "cm/kernels/dropout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "cm/base/dual.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"
#include "support/devices.h"
#include "support/dropout_keys.h"
#include "support/dual_level.h"

namespace cm {
namespace {

using test::dropout_keys;
using test::largest_difference;

constexpr double kRate = 0.3;

// Of x with as many positions and channels as a part of a pass has, fewer and more.
const std::vector<std::vector<int64_t>> kDropoutShapes = {
    {3, 1}, {2, 6, 5}, {4, 8, 8, 8}, {2, 7, 9, 9}, {1, 32, 3, 50}};

Tensor drawn(const std::vector<int64_t>& shape, uint64_t seed = 1) {
  return normal({.seed = seed}, {0}, shape)[0];
}

TEST(Dropout, IsItsOperators) {
  for (const torch::Device& device : test::devices()) {
    for (const auto& shape : kDropoutShapes) {
      const Tensor keys = dropout_keys(3, shape[0]).to(device);
      std::vector<Tensor> layouts = {drawn(shape).to(device)};
      if (shape.size() == 4) layouts.push_back(layouts[0].contiguous(at::MemoryFormat::ChannelsLast));
      for (const Tensor& x : layouts) {
        Tensor y;
        const KernelCalls calls = kernel_calls_during([&] { y = dropout(x, keys, kRate, 5); });
        EXPECT_EQ(calls.at(Kernel::dropout), (PathCounts{.by_kernel = 1, .by_operators = {}}));
        EXPECT_TRUE(torch::equal(y, plain_dropout(x, keys, kRate, 5))) << x.sizes();
        EXPECT_EQ(y.strides(), x.strides());
      }
    }
  }
}

// The whole of a mask is a function of Philox words: those of the sample's key at (channel / 4, position),
// the layer and the purpose.
TEST(Dropout, KeepsByTheWordsOfTheKey) {
  const int64_t channels = 6;
  const int64_t positions = 5;
  const Tensor keys = torch::tensor({int64_t{17}, int64_t{-3}});
  const Tensor y = dropout(torch::ones({2, channels, positions}), keys, 0.25, 9);
  for (int64_t i = 0; i < 2; ++i) {
    const RandomKey key{.seed = static_cast<uint64_t>(keys[i].item<int64_t>()), .purpose = Purpose::dropout};
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t s = 0; s < positions; ++s) {
        const PhiloxBlock block = key.block(9, static_cast<uint32_t>(c / 4 * positions + s));
        const double u = static_cast<double>(block.words[c % 4] >> 8) * 0x1p-24;
        EXPECT_NEAR(y[i][c][s].item<double>(), u < 0.25 ? 0 : 1 / 0.75, 1e-6);
      }
    }
  }
}

TEST(Dropout, AMaskDependsOnItsSamplesKeyAndTheLayerAlone) {
  const Tensor x = torch::ones({4, 16, 5, 5});
  const Tensor keys = dropout_keys(1, 4);
  const Tensor y = dropout(x, keys, kRate, 0);
  EXPECT_TRUE(torch::equal(dropout(x.narrow(0, 1, 2), keys.narrow(0, 1, 2), kRate, 0), y.narrow(0, 1, 2)));
  EXPECT_FALSE(torch::equal(y[0], y[1]));
  EXPECT_FALSE(torch::equal(dropout(x, keys, kRate, 1), y));
  EXPECT_FALSE(torch::equal(dropout(x, dropout_keys(2, 4), kRate, 0), y));
}

TEST(Dropout, DropsAtItsRateAndKeepsTheMean) {
  const int64_t count = 100'000;
  for (const double rate : {0.1, 0.3, 0.9}) {
    const Tensor y = dropout(torch::ones({10, 100, 100}), dropout_keys(1, 10), rate, 3);
    const double dropped = (y == 0).to(torch::kFloat64).mean().item<double>();
    EXPECT_NEAR(dropped, rate, 5 * std::sqrt(rate * (1 - rate) / static_cast<double>(count)));
    const Tensor kept = y.masked_select(y != 0);
    EXPECT_LT(largest_difference(kept, torch::full_like(kept, 1 / (1 - rate))), 1e-5);
  }
}

// Neighbours of one counter and of the next are dropped by themselves.
TEST(Dropout, NeighboursAreDroppedApart) {
  const Tensor kept =
      (dropout(torch::ones({1, 400, 1000}), dropout_keys(1, 1), 0.5, 3) != 0).to(torch::kFloat64)[0];
  for (const int64_t dim : {0, 1}) {
    const int64_t length = kept.size(dim) - 1;
    const Tensor both = kept.narrow(dim, 0, length) * kept.narrow(dim, 1, length);
    EXPECT_NEAR(both.mean().item<double>(), 0.25, 0.005) << dim;
  }
}

// Two kernels may leave the same numbers in another order of memory.
TEST(Dropout, TheMaskDoesNotDependOnTheLayout) {
  for (const torch::Device& device : test::devices()) {
    const Tensor x = drawn({2, 8, 5, 5}).to(device);
    const Tensor keys = dropout_keys(1, 2).to(device);
    const Tensor channels_last = x.contiguous(at::MemoryFormat::ChannelsLast);
    const Tensor strided = torch::stack({x, x}, 4).select(4, 0);
    EXPECT_TRUE(torch::equal(dropout(channels_last, keys, kRate, 0), dropout(x, keys, kRate, 0)));
    EXPECT_TRUE(torch::equal(dropout(strided, keys, kRate, 0), dropout(x, keys, kRate, 0)));
  }
}

TEST(Dropout, OtherTypesHaveTheSameMask) {
  const Tensor x = drawn({2, 8, 5, 5});
  const Tensor keys = dropout_keys(1, 2);
  for (const auto type : {torch::kFloat64, torch::kBFloat16, torch::kFloat16}) {
    const Tensor y = dropout(x.to(type), keys, kRate, 0);
    EXPECT_EQ(y.scalar_type(), type);
    EXPECT_TRUE(torch::equal(y != 0, dropout(x, keys, kRate, 0) != 0));
  }
}

TEST(Dropout, ItsGradientsAreThoseOfItsOperators) {
  const Tensor keys = dropout_keys(1, 2);
  const Tensor dy = drawn({2, 8, 5, 5}, 2);
  const auto gradients = [&](const auto& function) {
    const Tensor x = drawn({2, 8, 5, 5}).requires_grad_(true);
    const Tensor y = function(x, keys, kRate, 4).square();
    const Tensor dx = torch::autograd::grad({y}, {x}, {dy}, true, /*create_graph=*/true)[0];
    return std::pair(dx.detach(), torch::autograd::grad({dx}, {x}, {dy})[0]);
  };
  const auto ours = gradients(dropout);
  const auto plain = gradients(plain_dropout);
  EXPECT_LT(largest_difference(ours.first, plain.first), 1e-5);
  EXPECT_LT(largest_difference(ours.second, plain.second), 1e-5);
}

TEST(Dropout, ATangentIsDroppedAsItsValue) {
  const test::DualLevel level;
  const Tensor keys = dropout_keys(1, 2);
  const Tensor y = dropout(dual(drawn({2, 8, 5, 5}), drawn({2, 8, 5, 5}, 2)), keys, kRate, 0);
  EXPECT_TRUE(torch::equal(tangent_of(y), dropout(drawn({2, 8, 5, 5}, 2), keys, kRate, 0)));
}

TEST(Dropout, EvaluationAndRateZeroChangeNothing) {
  const Tensor x = torch::ones({4, 100});
  EXPECT_TRUE(dropout(x, {}, 0.5, 0).is_same(x));
  EXPECT_TRUE(dropout(x, dropout_keys(1, 4), 0, 0).is_same(x));
  EXPECT_EQ(dropout(torch::ones({0, 3}), dropout_keys(1, 0), 0.5, 0).numel(), 0);
  EXPECT_THROW(dropout(x, dropout_keys(1, 3), 0.5, 0), c10::Error);
}

}  // namespace
}  // namespace cm
