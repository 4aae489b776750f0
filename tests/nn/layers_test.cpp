#include "cm/nn/layers.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cm/base/random.h"
#include "support/closeness.h"

namespace cm {
namespace {

using test::largest_difference;

TEST(Layers, TheInitializerDependsOnSeedAndOrderAlone) {
  const auto first_two = [](uint64_t seed) {
    Initializer initializer(seed);
    const Tensor first = initializer.uniform({100}, 1);
    return std::pair(first, initializer.uniform({100}, 1));
  };
  const auto [a, b] = first_two(7);
  torch::manual_seed(1);
  const auto [c, d] = first_two(7);
  EXPECT_TRUE(torch::equal(a, c));
  EXPECT_TRUE(torch::equal(b, d));
  EXPECT_FALSE(torch::equal(a, b));
  EXPECT_FALSE(torch::equal(a, first_two(8).first));
}

TEST(Layers, InitialValuesHaveTheirDistribution) {
  Initializer initializer(3);
  const Tensor uniform = initializer.uniform({40'000}, 0.5);
  EXPECT_LT(test::largest(uniform), 0.5);
  EXPECT_NEAR(uniform.var().item<double>(), 1.0 / 12, 5 * 0.08 / 200);
  const Tensor normal = initializer.normal({40'000});
  EXPECT_NEAR(normal.mean().item<double>(), 0, 5.0 / 200);
  EXPECT_NEAR(normal.var().item<double>(), 1, 5 * std::sqrt(2.0) / 200);
}

TEST(Layers, WithoutASeedEverythingIsZero) {
  Initializer initializer;
  EXPECT_EQ(test::largest(Linear(initializer, 8, 4)->weight), 0);
  EXPECT_EQ(test::largest(Embedding(initializer, 8, 4)->weight), 0);
}

TEST(Layers, LinearAndConvStartWithinTheirFanIn) {
  Initializer initializer(3);
  const Linear linear(initializer, 64, 128);
  EXPECT_LE(test::largest(linear->weight), 1.0 / 8);
  EXPECT_GT(test::largest(linear->weight), 0.99 / 8);
  const Conv2d conv(initializer, Conv2dOptions{.in = 16, .out = 32});
  EXPECT_LE(test::largest(conv->weight), 1.0 / 12);
  EXPECT_GT(test::largest(conv->weight), 0.99 / 12);
  EXPECT_EQ(test::largest(Conv2d(initializer, Conv2dOptions{.in = 16, .out = 32, .zero = true})->weight), 0);
}

TEST(Layers, ConvolutionsKeepTheirSideOrHalveIt) {
  Initializer initializer(3);
  const Tensor x = torch::ones({2, 3, 8, 8});
  const Conv2d same(initializer, Conv2dOptions{.in = 3, .out = 5});
  const Conv2d half(initializer, Conv2dOptions{.in = 3, .out = 5, .stride = 2});
  const Conv2d pointwise(initializer, Conv2dOptions{.in = 3, .out = 5, .kernel = 1});
  EXPECT_EQ(same->forward(x).sizes(), torch::IntArrayRef({2, 5, 8, 8}));
  EXPECT_EQ(half->forward(x).sizes(), torch::IntArrayRef({2, 5, 4, 4}));
  EXPECT_EQ(pointwise->forward(x).sizes(), torch::IntArrayRef({2, 5, 8, 8}));
}

TEST(Layers, GroupNormStandardisesEachOf32Groups) {
  const Tensor x = 3 * normal({.seed = 1}, {0, 1}, {64, 6, 6}) + 5;
  const Tensor groups = GroupNorm(64)->forward(x).reshape({2, 32, -1});
  EXPECT_LT(test::largest(groups.mean(2)), 1e-5);
  EXPECT_LT(largest_difference(groups.var(2, /*unbiased=*/false), torch::ones({2, 32})), 1e-4);
}

TEST(Layers, GroupNormNeedsAMultipleOf32Channels) {
  EXPECT_THROW(GroupNorm(33), c10::Error);
}

TEST(Layers, TimeFeaturesAreCosinesThenSines) {
  const Tensor features = time_features(torch::tensor({0.0, 2.0, -750.0}), 4);
  const double slow = 0.01;  // exp(−ln(10000)/2)
  const auto row = [&](double t) {
    return torch::tensor({std::cos(t), std::cos(slow * t), std::sin(t), std::sin(slow * t)});
  };
  EXPECT_LT(largest_difference(features, torch::stack({row(0), row(2), row(-750)})), 1e-4);
}

TEST(Layers, AnOddWidthEndsWithZeros) {
  const Tensor features = time_features(torch::tensor({1.0}), 5);
  EXPECT_EQ(features.sizes(), torch::IntArrayRef({1, 5}));
  EXPECT_EQ(features[0][4].item<double>(), 0);
}

}  // namespace
}  // namespace cm
