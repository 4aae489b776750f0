#include "cm/kernels/paths.h"

#include <ATen/autocast_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "cm/base/dual.h"
#include "cm/kernels/convolution.h"
#include "cm/kernels/group_norm.h"
#include "cm/kernels/multi_tensor.h"
#include "cm/kernels/residual_sum.h"
#include "support/dual_level.h"

namespace cm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Tensors = std::vector<Tensor>;

// The only kernel that `body` calls, and what it met there.
void expect_path(Kernel kernel, std::optional<Obstacle> obstacle, const std::function<void()>& body) {
  const KernelCalls expected = {
      {kernel, obstacle ? PathCounts{0, {{*obstacle, 1}}} : PathCounts{.by_kernel = 1, .by_operators = {}}}};
  EXPECT_THAT(lines_of(kernel_calls_during(body)), testing::ElementsAreArray(lines_of(expected)));
}

void in_autocast(const std::function<void()>& body) {
  at::autocast::set_autocast_enabled(torch::kCPU, true);
  body();
  at::autocast::set_autocast_enabled(torch::kCPU, false);
}

// body(x with a tangent).
void with_tangent(const Tensor& x, const std::function<void(const Tensor&)>& body) {
  const test::DualLevel level;
  body(dual(x, torch::ones_like(x)));
}

// y = f(x) has a gradient that can be differentiated in its turn, or not.
void backward(const Tensor& x, const Tensor& y, bool twice) {
  torch::autograd::grad({y.sum()}, {x}, {}, twice, twice);
}

void convolve(const Tensor& x, int64_t out = 16) {
  convolution_3x3(x, torch::ones({out, x.size(1), 3, 3}, x.options().requires_grad(false)),
                  torch::ones({out}, x.options().requires_grad(false)));
}

TEST(PathsOfConvolution, AreCountedWithTheirReasons) {
  const auto expect = [](std::optional<Obstacle> obstacle, const std::function<void()>& body) {
    expect_path(Kernel::convolution_3x3, obstacle, body);
  };
  const Tensor x = torch::ones({2, 16, 8, 8});
  expect(std::nullopt, [&] { convolve(x); });
  expect(Obstacle::channels, [&] { convolve(torch::ones({2, 3, 8, 8})); });
  expect(Obstacle::channels, [&] { convolve(x, /*out=*/3); });
  expect(Obstacle::odd_side, [&] { convolve(torch::ones({2, 16, 8, 7})); });
  expect(Obstacle::few_pixels, [&] { convolve(torch::ones({1, 16, 4, 4})); });
  expect(Obstacle::type, [&] { convolve(x.to(torch::kFloat64)); });
  expect(Obstacle::autocast, [&] { in_autocast([&] { convolve(x); }); });
  expect(Obstacle::tangent, [&] {
    with_tangent(torch::ones({16, 16, 3, 3}), [&](const Tensor& weight) { convolution_3x3(x, weight, {}); });
  });
  const Tensor elsewhere = torch::empty({16, 16, 3, 3}, torch::kMeta);
  EXPECT_EQ(obstacle_to_winograd(elsewhere, elsewhere, {}), Obstacle::device);
}

TEST(PathsOfConvolution, OfItsGradientAreToo) {
  for (const bool twice : {false, true}) {
    const Tensor x = torch::ones({2, 16, 8, 8}).requires_grad_(true);
    const Tensor y = convolution_3x3(x, torch::ones({16, 16, 3, 3}), torch::ones({16}));
    expect_path(Kernel::convolution_3x3_gradient, twice ? std::optional(Obstacle::twice) : std::nullopt,
                [&] { backward(x, y, twice); });
  }
}

// A residual block's end is one pass of the convolution where that is ours, or the sum's.
TEST(PathsOfConvolution, ThatIsAddedToSomethingAreThatOfTheSumWhereItIsLibTorchs) {
  const auto calls = [](const Tensor& kept, const Tensor& x, const Tensor& bias) {
    return lines_of(kernel_calls_during([&] {
      residual_convolution_3x3(kept, x, torch::ones({kept.size(1), x.size(1), 3, 3}), bias, 1);
    }));
  };
  const Tensor x = torch::ones({2, 16, 8, 8});
  EXPECT_THAT(calls(x, x, torch::ones({16})), ElementsAre("convolution_3x3: 1 by the kernel"));
  EXPECT_THAT(calls(torch::ones({2, 3, 8, 8}), x, torch::ones({3})),
              ElementsAre("convolution_3x3: 0 by the kernel, 1 by LibTorch (channels no multiple of 16: 1)",
                          "residual_sum: 1 by the kernel"));
}

TEST(Paths, OfResidualSumAreCountedWithTheirReasons) {
  const auto expect = [](std::optional<Obstacle> obstacle, const Tensor& kept, const Biased& branch) {
    expect_path(Kernel::residual_sum, obstacle, [&] { residual_sum(kept, branch, 0.5); });
  };
  const Tensor x = torch::ones({2, 4, 3, 3});
  const Tensor bias = torch::ones({4});
  expect(std::nullopt, x, {x, bias});
  expect(std::nullopt, x, x);
  expect(Obstacle::empty, x.narrow(0, 0, 0), x.narrow(0, 0, 0));
  expect(Obstacle::type, x, x.to(torch::kFloat64));
  expect(Obstacle::type, x.to(torch::kFloat64), x);
  expect(Obstacle::type, x, {x, bias.to(torch::kFloat64)});
  expect(Obstacle::strides, x, torch::ones({2, 4, 3, 6}).slice(3, 0, 6, 2));
  expect(Obstacle::device, x.to(torch::kMeta), x.to(torch::kMeta));
  with_tangent(bias, [&](const Tensor& dual_bias) { expect(Obstacle::tangent, x, {x, dual_bias}); });
  in_autocast([&] { expect(Obstacle::autocast, x, x); });
}

Tensor normalize(const Tensor& x, const Tensor& weight) {
  const Tensor ones = torch::ones_like(weight.detach());
  return group_norm(x, {.groups = 2, .epsilon = 1e-5, .weight = weight, .bias = ones}, {}, Activation::silu);
}

Tensor normalize(const Tensor& x) {
  return normalize(x, torch::ones({x.size(1)}));
}

TEST(Paths, OfGroupNormAreCountedWithTheirReasons) {
  const auto expect = [](std::optional<Obstacle> obstacle, const std::function<void()>& body) {
    expect_path(Kernel::group_norm, obstacle, body);
  };
  const Tensor x = torch::ones({2, 4, 3, 3});
  expect(std::nullopt, [&] { normalize(x); });
  expect(Obstacle::type, [&] { normalize(x.to(torch::kBFloat16)); });
  expect(Obstacle::empty, [&] { normalize(torch::ones({0, 4, 3, 3})); });
  expect(Obstacle::autocast, [&] { in_autocast([&] { normalize(x); }); });
  expect(Obstacle::tangent,
         [&] { with_tangent(torch::ones({4}), [&](const Tensor& w) { normalize(x, w); }); });
  for (const bool twice : {false, true}) {
    const Tensor leaf = x.clone().requires_grad_(true);
    const Tensor y = normalize(leaf);
    expect_path(Kernel::group_norm_gradient, twice ? std::optional(Obstacle::twice) : std::nullopt,
                [&] { backward(leaf, y, twice); });
  }
}

std::vector<std::string> lines_during(const std::function<void()>& body) {
  return lines_of(kernel_calls_during(body));
}

TEST(PathsOfConvolution, OfADualAreTwo) {
  const Tensor x = torch::ones({2, 16, 8, 8});
  EXPECT_THAT(lines_during([&] { with_tangent(x, [](const Tensor& moving) { convolve(moving); }); }),
              ElementsAre("convolution_3x3: 2 by the kernel"));
}

TEST(Paths, OfTheNormOfADualTheValueAndTheTangentAreCounted) {
  const Tensor x = torch::ones({2, 16, 8, 8});
  EXPECT_THAT(lines_during([&] { with_tangent(x, [](const Tensor& moving) { normalize(moving); }); }),
              ElementsAre("group_norm: 1 by the kernel", "group_norm_tangent: 1 by the kernel"));
  const auto in_double = [](const Tensor& moving) { normalize(moving, torch::ones({16}, torch::kFloat64)); };
  EXPECT_THAT(lines_during([&] { with_tangent(x.to(torch::kFloat64), in_double); }),
              ElementsAre("group_norm: 0 by the kernel, 1 by LibTorch (type: 1)",
                          "group_norm_tangent: 0 by the kernel, 1 by LibTorch (type: 1)"));
}

AdamState state_of(const Tensor& like) {
  const auto zeros = [&] { return Tensors{torch::zeros_like(like)}; };
  return {zeros(), zeros(), zeros(), zeros()};
}

void update(const AdamState& state, torch::Dtype of_factor = torch::kFloat64) {
  adam_update(state, {},
              {.usable = number_on(torch::kCPU, torch::kBool, 1),
               .updates = number_on(torch::kCPU, torch::kInt64, 1),
               .lr = number_on(torch::kCPU, torch::kFloat64, 1),
               .factor = number_on(torch::kCPU, of_factor, 1)});
}

TEST(Paths, OfPassesOverAllTensorsAreCountedWithTheirReasons) {
  const auto expect = [](std::optional<Obstacle> obstacle, const AdamState& state) {
    expect_path(Kernel::adam_update, obstacle, [&] { update(state); });
    expect_path(Kernel::norm_of, obstacle, [&] { norm_of(state.gradient); });
    expect_path(Kernel::update_averages, obstacle, [&] {
      update_averages({{state.gradient, number_on(torch::kCPU, torch::kFloat64, 0.5)}}, state.theta,
                      number_on(torch::kCPU, torch::kBool, 1));
    });
  };
  const Tensor like = torch::zeros({4, 5});
  expect(std::nullopt, state_of(like));
  expect(std::nullopt, state_of(like.to(torch::kFloat64)));
  expect(Obstacle::type, state_of(like.to(torch::kBFloat16)));
  AdamState gaps = state_of(like);
  for (Tensors* list : {&gaps.theta, &gaps.gradient}) *list = {torch::zeros({4, 10}).slice(1, 0, 5)};
  expect(Obstacle::strides, gaps);
}

TEST(Paths, OfListsThatDoNotFitOneAnotherAreCountedWithTheirReasons) {
  AdamState state = state_of(torch::zeros({4, 5}));
  state.gradient = {torch::zeros({5, 4}).t()};
  expect_path(Kernel::adam_update, Obstacle::strides, [&] { update(state); });
  const auto average = [&](torch::Dtype of_rate) {
    update_averages({{state.gradient, number_on(torch::kCPU, of_rate, 0.5)}}, state.theta,
                    number_on(torch::kCPU, torch::kBool, 1));
  };
  expect_path(Kernel::update_averages, Obstacle::strides, [&] { average(torch::kFloat64); });
  state.gradient = state.first;
  expect_path(Kernel::update_averages, Obstacle::numbers, [&] { average(torch::kFloat32); });
  expect_path(Kernel::adam_update, Obstacle::numbers, [&] { update(state, torch::kFloat32); });
}

TEST(Paths, ALineSaysHowManyTookWhich) {
  EXPECT_THAT(
      lines_of({{Kernel::adam_update, {.by_kernel = 0, .by_operators = {{Obstacle::strides, 2}}}},
                {Kernel::convolution_3x3,
                 {.by_kernel = 46, .by_operators = {{Obstacle::channels, 4}, {Obstacle::tangent, 1}}}},
                {Kernel::norm_of, {.by_kernel = 1, .by_operators = {}}}}),
      ElementsAre("convolution_3x3: 46 by the kernel, 5 by LibTorch (tangent: 1, channels no multiple "
                  "of 16: 4)",
                  "norm_of: 1 by the kernel", "adam_update: 0 by the kernel, 2 by LibTorch (strides: 2)"));
  EXPECT_THAT(kernel_calls_during([] {}), IsEmpty());
}

// A count or a name in another's place would be nobody's mistake but the table's.
TEST(Paths, EveryObstacleHasAPlaceAndANameOfItsOwn) {
  for (const auto& [obstacle, name] : EnumNames<Obstacle>::names) {
    expect_path(Kernel::norm_of, obstacle, [here = obstacle] { counted(Kernel::norm_of, here); });
    EXPECT_EQ(from_name<Obstacle>(name), obstacle);
  }
}

}  // namespace
}  // namespace cm
