#include "cm/kernels/residual_sum.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "cm/base/dual.h"
#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"
#include "support/devices.h"
#include "support/dual_level.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::largest_difference;
using testing::HasSubstr;

// Of a sum's inputs; `bias` may be undefined.
struct Branches {
  Tensor kept;
  Tensor image;
  Tensor bias;

  Branches leaves(torch::Dtype type) const {
    const auto leaf = [&](const Tensor& t) {
      return t.defined() ? t.detach().to(type).clone().requires_grad_(true) : t;
    };
    return {leaf(kept), leaf(image), leaf(bias)};
  }
  std::vector<Tensor> inputs() const {
    return bias.defined() ? std::vector{kept, image, bias} : std::vector{kept, image};
  }
};

Tensor drawn_images(uint64_t seed, const std::vector<int64_t>& shape) {
  return normal({.seed = seed}, sample_range(0, shape[0]), {shape.begin() + 1, shape.end()});
}

Branches some_branches(const std::vector<int64_t>& shape, at::MemoryFormat format, bool biased) {
  const auto draw = [&](uint64_t seed) {
    const Tensor x = drawn_images(seed, shape);
    return shape.size() == 4 ? x.contiguous(format) : x;
  };
  return {draw(1), draw(2), biased ? drawn_images(3, {1, shape[1]})[0] : Tensor()};
}

// Channels and positions that do and do not fill vectors; more rows than a part has; an only channel and an
// only position.
const std::vector<std::vector<int64_t>> kSumShapes = {{2, 32, 8, 8}, {3, 5, 7, 3},  {2, 20, 40, 33},
                                                      {2, 1, 4, 4},  {4, 48, 1, 1}, {1, 4101, 2, 2},
                                                      {3, 6},        {2, 7, 5}};

template <class Check>
void for_each_sum(const Check& check) {
  for (const auto& shape : kSumShapes) {
    for (const auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
      for (const bool biased : {false, true}) {
        SCOPED_TRACE(testing::Message() << at::IntArrayRef(shape) << ' ' << format << ' ' << biased);
        check(some_branches(shape, format, biased));
      }
    }
  }
}

TEST(ResidualSum, AndItsGradientsAreTheOperatorsInDouble) {
  for_each_sum([](const Branches& it) {
    for (const double factor : {1.0, 0.7}) {
      const Branches single = it.leaves(torch::kFloat32);
      const Branches exact = it.leaves(torch::kFloat64);
      const Tensor y = residual_sum(single.kept, {single.image, single.bias}, factor);
      const Tensor expected = plain_residual_sum(exact.kept, {exact.image, exact.bias}, factor);
      EXPECT_LT(largest_difference(y, expected), 1e-6);
      EXPECT_EQ(y.strides(), it.image.strides());
      const Tensor dy = it.kept.cos();
      const auto ours = torch::autograd::grad({y}, single.inputs(), {dy});
      const auto theirs = torch::autograd::grad({expected}, exact.inputs(), {dy.to(torch::kFloat64)});
      for (size_t i = 0; i < ours.size(); ++i) {
        EXPECT_LT(largest_difference(ours[i], theirs[i]), 2e-6 * std::max(1.0, test::largest(theirs[i])))
            << i;
      }
    }
  });
}

// Of a GPU's types, with the bias in fp32; the images of two layouts.
TEST(ResidualSum, IsTheOperatorsOnEveryDevice) {
  for (const auto& device : test::devices()) {
    for_each_sum([&](const Branches& it) {
      for (const auto type : {torch::kFloat32, torch::kFloat16, torch::kBFloat16}) {
        if (device.is_cpu() && type != torch::kFloat32) continue;
        const Tensor kept = it.kept.to(device, type).contiguous();
        const Biased branch(it.image.to(device, type), it.bias.defined() ? it.bias.to(device) : it.bias);
        const Biased exact(branch.image.to(torch::kFloat64),
                           it.bias.defined() ? it.bias.to(device, torch::kFloat64) : it.bias);
        const Tensor expected = plain_residual_sum(kept.to(torch::kFloat64), exact, 0.5);
        const double half_unit = type == torch::kFloat32 ? 1e-6 : type == torch::kFloat16 ? 2e-3 : 2e-2;
        EXPECT_LT(largest_difference(residual_sum(kept, branch, 0.5), expected), half_unit) << type;
      }
    });
  }
}

TEST(ResidualSum, TheNumberOfThreadsChangesNothing) {
  const int threads = at::get_num_threads();
  const Branches it = some_branches({5, 48, 33, 40}, at::MemoryFormat::ChannelsLast, true);
  const auto with_threads = [&](int count) {
    at::set_num_threads(count);
    return residual_sum(it.kept, {it.image, it.bias}, 0.7);
  };
  EXPECT_TRUE(torch::equal(with_threads(1), with_threads(3)));
  at::set_num_threads(threads);
}

TEST(ResidualSum, CanBeDifferentiatedTwice) {
  const auto second = [](const Branches& it, const auto& sum) {
    const Tensor y = sum(it.kept, Biased(it.image, it.bias), 0.7);
    const auto first = torch::autograd::grad({y.pow(3).sum()}, {it.bias}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({first.pow(2).sum()}, it.inputs());
  };
  const Branches it = some_branches({2, 8, 3, 3}, at::MemoryFormat::ChannelsLast, true);
  const auto ours = second(it.leaves(torch::kFloat32), residual_sum);
  const auto theirs = second(it.leaves(torch::kFloat64), plain_residual_sum);
  for (size_t i = 0; i < ours.size(); ++i) {
    EXPECT_LT(largest_difference(ours[i], theirs[i]), 1e-5 * test::largest(theirs[i])) << i;
  }
}

// What is kept, the image and the bias may be dual, together or alone.
TEST(ResidualSum, ATangentIsThatOfTheOperators) {
  const Branches it = some_branches({2, 8, 3, 3}, at::MemoryFormat::ChannelsLast, true);
  for (int which = 1; which < 8; ++which) {
    SCOPED_TRACE(which);
    const test::DualLevel level;
    const auto moving = [&](torch::Dtype type) {
      Branches all = it.leaves(type);
      if ((which & 1) != 0) all.kept = dual(all.kept, all.kept.detach().cos());
      if ((which & 2) != 0) all.image = dual(all.image, all.image.detach().sin());
      if ((which & 4) != 0) all.bias = dual(all.bias, all.bias.detach().cos());
      return all;
    };
    const Branches single = moving(torch::kFloat32);
    const Branches exact = moving(torch::kFloat64);
    const Tensor y = residual_sum(single.kept, {single.image, single.bias}, 0.7);
    const Tensor expected = plain_residual_sum(exact.kept, {exact.image, exact.bias}, 0.7);
    EXPECT_LT(largest_difference(tangent_of(y), tangent_of(expected)), 1e-6);
    EXPECT_LT(largest_difference(value_of(y), value_of(expected)), 1e-6);
  }
}

TEST(ResidualSum, RefusesWhatDoesNotFit) {
  const Tensor x = torch::ones({2, 4, 3, 3});
  EXPECT_THAT(test::message_of<c10::Error>([&] {
                residual_sum(x, torch::ones({2, 4, 3, 2}), 1);
              }),
              HasSubstr("a residual sum of [2, 4, 3, 3] and [2, 4, 3, 2]"));
  EXPECT_THAT(test::message_of<c10::Error>([&] {
                residual_sum(x, {x, torch::ones({2, 4})}, 1);
              }),
              HasSubstr("of 4 channels and a bias [2, 4]"));
}

TEST(Biased, ItsSumIsInTheImagesTypeForABiasOfAllOrOfEach) {
  const Tensor x = drawn_images(1, {2, 4, 3, 3});
  const Tensor of_each = drawn_images(2, {2, 4});
  EXPECT_TRUE(torch::equal(sum_of({x, of_each}), x + of_each.view({2, 4, 1, 1})));
  EXPECT_TRUE(torch::equal(sum_of({x, of_each[0]}), x + of_each[0].view({1, 4, 1, 1})));
  EXPECT_EQ(sum_of({x.to(torch::kFloat16), of_each}).scalar_type(), torch::kFloat16);
  EXPECT_TRUE(sum_of(x).is_same(x));
}

}  // namespace
}  // namespace cm
