#include "cm/kernels/unit_rows.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/forward_grad.h>
#include <torch/csrc/autograd/function.h>

#include <cmath>

#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "src/kernels/cuda_call.h"
#include "support/closeness.h"
#include "support/devices.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::relative_difference;
using testing::HasSubstr;

constexpr RowScale kRowScale{.length = 3, .epsilon = 0.05};

struct RowsCase {
  Tensor x;
  Tensor gain;  // or undefined
  Tensor dy;

  RowsCase as(torch::Dtype type) const {
    const auto leaf = [&](const Tensor& tensor) {
      return tensor.defined() ? tensor.detach().to(type).clone().requires_grad_(true) : tensor;
    };
    return {leaf(x), leaf(gain), dy.to(type)};
  }
  std::vector<Tensor> inputs() const { return gain.defined() ? std::vector{x, gain} : std::vector{x}; }
};

// One number a row, fewer than a vector, whole vectors, kernels, and a row of many and some.
std::vector<RowsCase> rows_cases(const torch::Device& device) {
  std::vector<RowsCase> cases;
  for (const auto& shape :
       std::vector<std::vector<int64_t>>{{7, 1}, {3, 5}, {300, 64}, {16, 16, 3, 3}, {2, 6931}}) {
    for (const auto& gain : {Tensor(), torch::tensor(-0.7F), torch::tensor(0.0F)}) {
      cases.push_back({normal({.seed = 1}, {0}, shape)[0].to(device), gain.defined() ? gain.to(device) : gain,
                       normal({.seed = 2}, {0}, shape)[0].to(device)});
    }
  }
  return cases;
}

TEST(UnitRows, AreTheirFormula) {
  const Tensor x = torch::tensor({{3.0F, 4.0F}, {0.0F, 0.0F}});
  const Tensor expected = torch::tensor({{9 / 5.05, 12 / 5.05}, {0.0, 0.0}});
  EXPECT_LT(relative_difference(unit_rows(x, kRowScale), expected), 1e-6);
  EXPECT_LT(relative_difference(unit_rows(x, kRowScale, torch::tensor(2.0F)), 2 * expected), 1e-6);
}

TEST(UnitRows, AgreeWithTheOperatorsInDoubleForwardAndBackward) {
  for (const auto& device : test::devices()) {
    for (const RowsCase& any : rows_cases(device)) {
      SCOPED_TRACE(testing::Message() << any.x.sizes() << (any.gain.defined() ? ", a gain" : "") << device);
      const RowsCase single = any.as(torch::kFloat32);
      const RowsCase exact = any.as(torch::kFloat64);
      const Tensor y = unit_rows(single.x, kRowScale, single.gain);
      const Tensor expected = plain_unit_rows(exact.x, kRowScale, exact.gain);
      if (device.is_cpu() || cuda::has_kernels_for(device)) {
        ASSERT_THAT(y.grad_fn()->name(), HasSubstr("UnitRows"));
      }
      EXPECT_LT(relative_difference(y, expected), 1e-6);
      const auto ours = torch::autograd::grad({y}, single.inputs(), {single.dy});
      const auto theirs = torch::autograd::grad({expected}, exact.inputs(), {exact.dy});
      EXPECT_LT(relative_difference(ours[0], theirs[0]), 2e-6);
      if (any.gain.defined()) {
        const double scale = std::sqrt(static_cast<double>(any.x.size(0)));  // terms may cancel
        EXPECT_LT(test::largest_difference(ours[1], theirs[1]), 1e-6 * scale * 3 * 10);
      }
    }
  }
}

TEST(UnitRows, ARowOfZerosHasAGradient) {
  const Tensor x = torch::zeros({2, 40}).requires_grad_(true);
  unit_rows(x, kRowScale).sum().backward();
  EXPECT_LT(relative_difference(x.grad(), torch::full({2, 40}, 3 / 0.05)), 1e-6);
}

TEST(UnitRows, AreScaledInPlaceToTheSameBits) {
  for (const auto& device : test::devices()) {
    const Tensor x = normal({.seed = 3}, {0}, {20, 50})[0].to(device);
    const Tensor expected = unit_rows(x, kRowScale);
    scale_rows(x, kRowScale);
    EXPECT_TRUE(torch::equal(x, expected)) << device;
  }
}

TEST(UnitRows, AutogradNoticesThatWhatItSavedWasScaled) {
  const Tensor x = torch::ones({2, 32});
  const Tensor w = torch::ones({2, 32}).requires_grad_(true);
  const Tensor y = (x * w).sum();
  scale_rows(x, kRowScale);
  EXPECT_THAT(test::message_of<c10::Error>([&] { y.backward(); }),
              HasSubstr("modified by an inplace operation"));
}

TEST(UnitRows, TheNumberOfThreadsChangesNothing) {
  const int threads = at::get_num_threads();
  const Tensor x = normal({.seed = 4}, {0}, {3000, 33})[0];
  const Tensor expected = unit_rows(x, kRowScale);
  at::set_num_threads(threads == 1 ? 2 : 1);
  EXPECT_TRUE(torch::equal(unit_rows(x, kRowScale), expected));
  at::set_num_threads(threads);
}

TEST(UnitRows, CanBeDifferentiatedTwice) {
  const auto second = [](const RowsCase& it, const auto& scaled) {
    const Tensor y = scaled(it.x, kRowScale, it.gain);
    const Tensor first = torch::autograd::grad({y.pow(3).sum()}, {it.x}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({first.pow(3).sum()}, it.inputs());
  };
  const RowsCase it{normal({.seed = 5}, {0}, {4, 48})[0], torch::tensor(0.8F), torch::zeros({4, 48})};
  const auto ours = second(it.as(torch::kFloat32), unit_rows);
  const auto theirs = second(it.as(torch::kFloat64), plain_unit_rows);
  for (size_t i = 0; i < ours.size(); ++i) EXPECT_LT(relative_difference(ours[i], theirs[i]), 1e-5) << i;
}

TEST(UnitRows, HaveATangentAndLeaveNumbersThatLieApartToTheOperators) {
  const Tensor x = normal({.seed = 6}, {0}, {4, 48})[0];
  const uint64_t level = torch::autograd::forward_ad::enter_dual_level();
  const Tensor dual = at::_make_dual(x, torch::ones_like(x), static_cast<int64_t>(level));
  Tensor tangent;
  const auto calls = kernel_calls_during([&] {
    tangent = std::get<1>(at::_unpack_dual(unit_rows(dual, kRowScale), static_cast<int64_t>(level)));
    const Tensor apart = torch::stack({x, x}, -1).select(-1, 0);
    EXPECT_LT(relative_difference(unit_rows(apart, kRowScale), unit_rows(x, kRowScale)), 1e-6);
  });
  torch::autograd::forward_ad::exit_dual_level(level);
  constexpr double kStep = 1e-5;
  const Tensor wide = x.to(torch::kFloat64);
  const Tensor slope =
      (plain_unit_rows(wide + kStep, kRowScale) - plain_unit_rows(wide - kStep, kRowScale)) / (2 * kStep);
  EXPECT_LT(relative_difference(tangent, slope), 1e-5);
  const PathCounts expected{.by_kernel = 2, .by_operators = {{Obstacle::strides, 1}}};
  EXPECT_EQ(calls.at(Kernel::unit_rows), expected);
}

TEST(UnitRows, RefuseWhatHasNone) {
  EXPECT_THAT(test::message_of<c10::Error>([] { unit_rows(torch::ones({3}), kRowScale); }),
              HasSubstr("rows are scaled of x [rows, …], got [3]"));
  EXPECT_THAT(test::message_of<c10::Error>([] {
                unit_rows(torch::ones({3, 2}), kRowScale, torch::ones({3}));
              }),
              HasSubstr("the gain of rows is one number, got [3]"));
}

}  // namespace
}  // namespace cm
