#include "cm/base/dual.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "support/closeness.h"
#include "support/dual_level.h"

namespace cm {
namespace {

Tensor numbers_of_duals() {
  return torch::tensor({0.5, -1.0, 2.0}, torch::kFloat64);
}

TEST(Dual, OfOthersTheValueIsThemselves) {
  const Tensor x = numbers_of_duals();
  EXPECT_TRUE(value_of(x).is_same(x));
  EXPECT_FALSE(tangent_of(x).defined());
  EXPECT_FALSE(has_tangent(Tensor()));
  EXPECT_FALSE(value_of(Tensor()).defined());
}

// What a graph keeps of a value must not keep its tangent alive.
TEST(Dual, AValueIsInTheGraphAndHoldsNoTangent) {
  const Tensor leaf = numbers_of_duals().requires_grad_(true);
  const test::DualLevel level;
  Tensor value;
  c10::weak_intrusive_ptr<c10::TensorImpl> tangent(torch::ones({1}).getIntrusivePtr());
  {
    const Tensor product = dual(leaf, torch::ones_like(leaf)) * 3;
    tangent = c10::weak_intrusive_ptr<c10::TensorImpl>(product._fw_grad(0).getIntrusivePtr());
    EXPECT_FALSE(tangent.expired());
    value = value_of(product);
    EXPECT_EQ(test::largest_difference(tangent_of(product), 3 * torch::ones_like(leaf)), 0);
    EXPECT_FALSE(tangent_of(product).requires_grad());
  }
  EXPECT_TRUE(tangent.expired());
  EXPECT_FALSE(has_tangent(value));
  value.sum().backward();
  EXPECT_EQ(test::largest_difference(leaf.grad(), 3 * torch::ones_like(leaf)), 0);
}

// f(x, w) = sin(x w), with a graph to w and a tangent along x.
TEST(Dual, ATangentApartIsTheSameWithoutAGraph) {
  const auto f = [](const Tensor& x, const Tensor& w) { return (x * w).sin(); };
  const Tensor x = numbers_of_duals();
  const Tensor x_dot = torch::tensor({1.0, 2.0, -1.0}, torch::kFloat64);
  const Tensor expected = (x * 2).cos() * 2 * x_dot;
  for (const bool recorded : {true, false}) {
    const torch::AutoGradMode mode(recorded);
    const Tensor w = torch::full({3}, 2.0, torch::kFloat64).requires_grad_(true);
    const test::DualLevel level;
    const Tensor y = with_tangent_apart(f, dual(x, x_dot), w);
    EXPECT_LT(test::largest_difference(y._fw_grad(0), expected), 1e-15);
    EXPECT_FALSE(y._fw_grad(0).requires_grad());
    EXPECT_EQ(y.requires_grad(), recorded);
    if (!recorded) continue;
    const Tensor slope = torch::autograd::grad({value_of(y).sum()}, {w})[0];
    EXPECT_LT(test::largest_difference(slope, (x * 2).cos() * x), 1e-15);
  }
}

TEST(Dual, OfAnAffineMapTheTangentLeavesOutTheBias) {
  const Tensor weight = torch::full({3}, 2.0, torch::kFloat64).requires_grad_(true);
  const auto f = [&](const Tensor& x, const Tensor& bias) {
    return bias.defined() ? weight * x + bias : weight * x;
  };
  const Tensor bias = torch::full({3}, 5.0, torch::kFloat64).requires_grad_(true);
  const Tensor x = numbers_of_duals();
  const test::DualLevel level;
  const Tensor y = affine_map(dual(x, x), bias, f);
  EXPECT_EQ(test::largest_difference(value_of(y), 2 * x + 5), 0);
  EXPECT_EQ(test::largest_difference(tangent_of(y), 2 * x), 0);
  EXPECT_TRUE(value_of(y).requires_grad());
  EXPECT_FALSE(y._fw_grad(0).requires_grad());
}

}  // namespace
}  // namespace cm
