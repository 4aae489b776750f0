#include "cm/diffusion/distance.h"

#include <gmock/gmock.h>

#include <cmath>

#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::largest_difference;

// All but the one that is a network.
std::vector<Distance> formulas() {
  std::vector<Distance> all;
  for (const auto& entry : EnumNames<Distance>::names) {
    if (entry.value != Distance::lpips) all.push_back(entry.value);
  }
  return all;
}

Tensor compared_images(uint64_t seed, int64_t side = 8) {
  return normal({.seed = seed}, sample_range(0, 4), {3, side, side}).to(torch::kFloat64);
}

double of_one(Distance kind, const Tensor& a, const Tensor& b, double huber_c = 0.00054) {
  return distance(kind, a.unsqueeze(0), b.unsqueeze(0), huber_c).item<double>();
}

TEST(Distance, IsZeroForEqualsSymmetricAndPositive) {
  const Tensor a = compared_images(1);
  const Tensor b = compared_images(2);
  for (const auto kind : formulas()) {
    SCOPED_TRACE(to_string(kind));
    EXPECT_EQ(test::largest(distance(kind, a, a)), 0);
    EXPECT_TRUE(torch::equal(distance(kind, a, b), distance(kind, b, a)));
    EXPECT_GT(distance(kind, a, b).min().item<double>(), 0);
    EXPECT_EQ(distance(kind, a, b).sizes(), torch::IntArrayRef({4}));
  }
}

TEST(Distance, GrowsAsTheImagesMoveApart) {
  const Tensor a = compared_images(1);
  const Tensor b = compared_images(2);
  for (const auto kind : formulas()) {
    const Tensor half_way = distance(kind, a, (a + b) / 2);
    EXPECT_TRUE((half_way < distance(kind, a, b)).all().item<bool>()) << to_string(kind);
  }
}

TEST(Distance, HandValues) {
  const Tensor a = torch::tensor({1.0, -2.0, 0.5, 0.0});
  const Tensor b = torch::tensor({0.0, 1.0, 0.5, 0.0});
  EXPECT_NEAR(of_one(Distance::l1, a, b), 1.0, 1e-6);
  EXPECT_NEAR(of_one(Distance::l2, a, b), 2.5, 1e-6);
  EXPECT_NEAR(of_one(Distance::linf, a, b), 3.0, 1e-6);
  const double c2 = 0.25 * 4;  // c = 0.5 √4
  EXPECT_NEAR(of_one(Distance::pseudo_huber, a, b, 0.5), std::sqrt(10 + c2) - std::sqrt(c2), 1e-6);
}

TEST(Distance, ASampleDoesNotSeeTheOthers) {
  const Tensor a = compared_images(1);
  const Tensor b = compared_images(2);
  for (const auto kind : formulas()) {
    const Tensor alone = distance(kind, a.narrow(0, 2, 1), b.narrow(0, 2, 1));
    EXPECT_LT(largest_difference(distance(kind, a, b).narrow(0, 2, 1), alone), 1e-12) << to_string(kind);
  }
}

TEST(Distance, L2On32PixelsIsL2) {
  const Tensor a = compared_images(1, 32);
  const Tensor b = compared_images(2, 32);
  EXPECT_LT(largest_difference(distance(Distance::l2_32, a, b), distance(Distance::l2, a, b)), 1e-12);
}

TEST(Distance, TheResizeOfL2_32KeepsConstants) {
  const Tensor a = torch::full({1, 3, 8, 8}, 0.7);
  const Tensor b = torch::full({1, 3, 8, 8}, 0.2);
  EXPECT_NEAR(distance(Distance::l2_32, a, b).item<double>(), 0.25, 1e-6);
}

TEST(Distance, PseudoHuberIsBetweenTheNormAndItsSquare) {
  const Tensor a = compared_images(1)[0];
  const Tensor b = compared_images(2)[0];
  const double norm = (a - b).norm().item<double>();
  EXPECT_NEAR(of_one(Distance::pseudo_huber, a, b, 1e-9), norm, 1e-6);
  const double c = 1e4 * std::sqrt(static_cast<double>(a.numel()));
  EXPECT_NEAR(of_one(Distance::pseudo_huber, a, b, 1e4) / (norm * norm / (2 * c)), 1, 1e-5);
}

TEST(Distance, LpipsIsNoFormula) {
  const Tensor a = compared_images(1);
  const auto message = test::message_of<c10::Error>([&] { distance(Distance::lpips, a, a); });
  EXPECT_THAT(message, testing::HasSubstr("lpips is a network, not a formula"));
}

TEST(Distance, GradientsAreFiniteWhereTheImagesAgree) {
  for (const auto kind : formulas()) {
    const Tensor a = compared_images(1).requires_grad_(true);
    distance(kind, a, a.detach()).sum().backward();
    EXPECT_EQ(test::largest(a.grad()), 0) << to_string(kind);
  }
}

}  // namespace
}  // namespace cm
