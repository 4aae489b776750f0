#include "src/nn/dual_attention.h"

#include <ATen/Context.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "cm/base/dual.h"
#include "support/closeness.h"
#include "support/dual_level.h"
#include "support/random_batch.h"

namespace cm {
namespace {

// Queries, keys and values of some heads, and where they move to.
struct Attended {
  std::vector<Tensor> values;
  std::vector<Tensor> tangents;

  explicit Attended(int64_t positions, torch::Dtype type = torch::kFloat64) {
    for (uint64_t i = 0; i < 3; ++i) {
      values.push_back(test::random_batch(i + 1, {3, positions, 8}).to(type));
      tangents.push_back(test::random_batch(i + 4, {3, positions, 8}).to(type));
    }
  }
  // Those of which `moves` says so with tangents.
  std::vector<Tensor> duals(const std::vector<bool>& moves = {true, true, true}) const {
    std::vector<Tensor> all = values;
    for (size_t i = 0; i < all.size(); ++i) {
      if (moves[i]) all[i] = dual(values[i], tangents[i]);
    }
    return all;
  }
};

Tensor attend(const std::vector<Tensor>& qkv) {
  return dual_attention(qkv[0], qkv[1], qkv[2]);
}

// The definition.
Tensor by_definition(const std::vector<Tensor>& qkv) {
  const Tensor scores = torch::matmul(qkv[0], qkv[1].transpose(2, 3)) / std::sqrt(8.0);
  return torch::matmul(scores.softmax(-1), qkv[2]);
}

// Fewer queries than a block, one more than a block, several blocks.
TEST(DualAttention, ItsTangentIsThatOfItsDefinition) {
  for (const int64_t positions : {1, 20, 129, 300}) {
    const Attended it(positions);
    for (const auto& moves : std::vector<std::vector<bool>>{
             {true, true, true}, {true, false, false}, {false, true, false}, {false, false, true}}) {
      const test::DualLevel level;
      const Tensor o = attend(it.duals(moves));
      const Tensor expected = by_definition(it.duals(moves));
      EXPECT_LT(test::largest_difference(value_of(o), value_of(expected)), 1e-13) << positions;
      EXPECT_LT(test::largest_difference(tangent_of(o), tangent_of(expected)), 1e-13) << positions;
    }
  }
}

TEST(DualAttention, InSinglePrecisionItIsRounded) {
  const test::DualLevel level;
  const Tensor o_dot = tangent_of(attend(Attended(300, torch::kFloat32).duals()));
  EXPECT_EQ(o_dot.scalar_type(), torch::kFloat32);
  const Tensor exact = tangent_of(by_definition(Attended(300).duals()));
  EXPECT_LT(test::relative_difference(o_dot, exact), 3e-6);
}

// In half precision too softmax and what multiplies it are fp32.
TEST(DualAttention, InHalfPrecisionItKeepsItsType) {
  const test::DualLevel level;
  const Tensor o_dot = tangent_of(attend(Attended(300, torch::kBFloat16).duals()));
  EXPECT_EQ(o_dot.scalar_type(), torch::kBFloat16);
  EXPECT_LT(test::relative_difference(o_dot, tangent_of(by_definition(Attended(300).duals()))), 0.03);
}

TEST(DualAttention, ItsValueHasTheGradientOfAttentionAlone) {
  const Attended it(40);
  const Tensor cotangent = test::random_batch(9, {3, 40, 8}).to(torch::kFloat64);
  const auto gradients = [&](bool moves) {
    std::vector<Tensor> leaves;
    for (const Tensor& value : it.values) leaves.push_back(value.clone().requires_grad_(true));
    std::vector<Tensor> taken = leaves;
    const test::DualLevel level;
    for (size_t i = 0; moves && i < taken.size(); ++i) taken[i] = dual(leaves[i], it.tangents[i]);
    const Tensor o = attend(taken);
    EXPECT_FALSE(moves && o._fw_grad(0).requires_grad());
    return torch::autograd::grad({value_of(o)}, leaves, {cotangent});
  };
  const auto [alone, moving] = std::pair(gradients(false), gradients(true));
  for (size_t i = 0; i < alone.size(); ++i) EXPECT_TRUE(torch::equal(moving[i], alone[i])) << i;
}

}  // namespace
}  // namespace cm
