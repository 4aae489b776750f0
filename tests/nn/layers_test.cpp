#include "cm/nn/layers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"
#include "support/devices.h"
#include "support/operators.h"

namespace cm {
namespace {

using test::largest_difference;

Tensor random_images(uint64_t seed, int64_t channels) {
  return normal({.seed = seed}, sample_range(0, 2), {channels, 8, 8});
}

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

// √(6 / (fan in + fan out)), a kernel's area counted in both.
TEST(Layers, AXavierGainScalesTheWeightAndZerosTheBias) {
  Initializer initializer(3);
  const Linear linear(initializer, 64, 128, 0.5);
  EXPECT_LE(test::largest(linear->weight), 0.5 * std::sqrt(6.0 / 192));
  EXPECT_GT(test::largest(linear->weight), 0.99 * 0.5 * std::sqrt(6.0 / 192));
  EXPECT_EQ(test::largest(linear->bias), 0);
  const Conv2d conv(initializer, Conv2dOptions{.in = 16, .out = 32, .xavier_gain = 2});
  EXPECT_LE(test::largest(conv->weight), 2 * std::sqrt(6.0 / (9 * 48)));
  EXPECT_GT(test::largest(conv->weight), 0.99 * 2 * std::sqrt(6.0 / (9 * 48)));
  EXPECT_EQ(test::largest(conv->bias), 0);
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

// What a convolution leaves to be added, and what it adds itself to what is kept.
TEST(Layers, AConvolutionsBiasMayBeAddedByWhoeverReadsItNext) {
  Initializer initializer(3);
  const Tensor x = random_images(1, 16);
  for (const int64_t kernel : {1, 3}) {
    const Conv2d conv(initializer, Conv2dOptions{.in = 16, .out = 32, .kernel = kernel});
    const Conv2d skip(initializer, Conv2dOptions{.in = 16, .out = 32, .kernel = 1});
    const Biased biased = conv->without_bias(x);
    EXPECT_TRUE(biased.bias.is_same(conv->bias));
    EXPECT_LT(largest_difference(sum_of(biased), conv->forward(x)), 1e-6);
    const Tensor sum = (conv->forward(x) + skip->forward(x)) * 0.5;
    EXPECT_LT(largest_difference(conv->added_to(skip->without_bias(x), x, 0.5), sum), 1e-6) << kernel;
    EXPECT_LT(largest_difference(conv->added_to(skip->forward(x), x, 0.5), sum), 1e-6) << kernel;
    const GroupNorm norm(32);
    const Tensor condition = random_images(2, 32).select(3, 0).select(2, 0);
    EXPECT_LT(largest_difference(norm->forward_silu(biased, condition),
                                 norm->forward_silu(conv->forward(x), condition)),
              1e-5);
  }
}

TEST(Layers, GroupNormStandardisesEachOf32Groups) {
  const Tensor x = 3 * normal({.seed = 1}, {0, 1}, {64, 6, 6}) + 5;
  const Tensor groups = GroupNorm(64)->forward(x).reshape({2, 32, -1});
  EXPECT_LT(test::largest(groups.mean(2)), 1e-5);
  EXPECT_LT(largest_difference(groups.var(2, /*unbiased=*/false), torch::ones({2, 32})), 1e-4);
}

TEST(Layers, GroupNormNeedsAMultipleOfItsGroups) {
  EXPECT_THROW(GroupNorm(33), c10::Error);
  EXPECT_THROW(GroupNorm(32, GroupNormOptions{.groups = 5}), c10::Error);
}

TEST(Layers, GroupNormHasItsGroupsAndEpsilon) {
  const Tensor x = normal({.seed = 1}, {0, 1}, {12, 6, 6});
  const Tensor y = GroupNorm(12, GroupNormOptions{.groups = 3, .epsilon = 3})->forward(x);
  const Tensor groups = x.reshape({2, 3, -1});
  const Tensor expected =
      (groups - groups.mean(2, true)) / (groups.var(2, /*unbiased=*/false, /*keepdim=*/true) + 3).sqrt();
  EXPECT_LT(largest_difference(y.reshape({2, 3, -1}), expected), 1e-5);
}

TEST(Layers, AConditionIsAddedBeforeOrScalesAndShiftsAfterGroupNorm) {
  const GroupNorm norm(64);
  const Tensor x = normal({.seed = 1}, {0, 1}, {64, 3, 3});
  const Tensor first = normal({.seed = 2}, {0, 1}, {64});
  const Tensor second = normal({.seed = 3}, {0, 1}, {64});
  const auto everywhere = [](const Tensor& condition) { return condition.view({2, 64, 1, 1}); };
  EXPECT_LT(largest_difference(norm->forward(x, first), norm->forward(x + everywhere(first))), 1e-6);
  EXPECT_LT(largest_difference(norm->forward(x, torch::cat({first, second}, 1)),
                               norm->forward(x) * (1 + everywhere(first)) + everywhere(second)),
            1e-5);
}

// softmax(qᵀk/√d) v written out, head by head.
TEST(Layers, PixelNormGivesEveryPixelUnitChannels) {
  const Tensor y = pixel_norm(7 * normal({.seed = 1}, {0, 1}, {12, 6, 6}));
  EXPECT_LT(largest_difference(y.square().mean(1), torch::ones({2, 6, 6})), 1e-5);
  EXPECT_EQ(test::largest(pixel_norm(torch::zeros({2, 3}))), 0);
}

// norm(x) ⊙ pnorm(scale) + pnorm(shift): the condition's size does not matter, its direction does.
TEST(Layers, DoubleNormNormalisesScaleAndShift) {
  const GroupNorm norm(32, GroupNormOptions{.double_norm = true});
  const Tensor x = normal({.seed = 1}, {0, 1}, {32, 6, 6});
  const Tensor condition = normal({.seed = 2}, {0, 1}, {64});
  const Tensor scale = pixel_norm(condition.narrow(1, 0, 32)).unsqueeze(2).unsqueeze(3);
  const Tensor shift = pixel_norm(condition.narrow(1, 32, 32)).unsqueeze(2).unsqueeze(3);
  const Tensor y = norm->forward(x, condition);
  EXPECT_LT(largest_difference(y, norm->forward(x) * scale + shift), 1e-5);
  EXPECT_LT(largest_difference(norm->forward(x, 100 * condition), y), 1e-4);
}

// Of every kind of condition, and of none.
TEST(Layers, GroupNormWithSiluIsSiluOfGroupNorm) {
  const Tensor x = normal({.seed = 1}, {0, 1}, {32, 6, 6});
  const Tensor wide = normal({.seed = 2}, {0, 1}, {64});
  for (const bool double_norm : {false, true}) {
    const GroupNorm norm(32, GroupNormOptions{.groups = 8, .double_norm = double_norm});
    EXPECT_LT(largest_difference(norm->forward_silu(x), torch::silu(norm->forward(x))), 1e-6);
    for (const Tensor& condition : {wide, wide.narrow(1, 0, 32)}) {
      EXPECT_LT(
          largest_difference(norm->forward_silu(x, condition), torch::silu(norm->forward(x, condition))),
          2e-6);
    }
  }
}

TEST(Layers, AttentionIsSoftmaxOverPositions) {
  constexpr int64_t kChannels = 64;
  constexpr int64_t kHeads = 4;
  constexpr int64_t kWidth = kChannels / kHeads;
  const Tensor qkv = normal({.seed = 1}, {0, 1}, {3 * kChannels, 3, 4});
  std::vector<Tensor> heads;
  for (int64_t head = 0; head < kHeads; ++head) {
    const auto part = [&](int64_t which) {
      return qkv.flatten(2).narrow(1, which * kChannels + head * kWidth, kWidth);
    };
    const Tensor scores = part(0).transpose(1, 2).bmm(part(1)) / std::sqrt(static_cast<double>(kWidth));
    heads.push_back(part(2).bmm(scores.softmax(2).transpose(1, 2)));
  }
  const Tensor expected = torch::cat(heads, 1).view({2, kChannels, 3, 4});
  EXPECT_LT(largest_difference(attention(qkv, kHeads), expected), 1e-5);
}

TEST(Layers, AttentionTakesAFusedKernelInEveryLayout) {
  for (const auto& device : test::devices()) {
    for (const auto format : {torch::MemoryFormat::Contiguous, torch::MemoryFormat::ChannelsLast}) {
      const Tensor qkv = torch::rand({2, 96, 4, 4}, device).contiguous(format).requires_grad_(true);
      for (const std::string& path : test::operators_of([&] { attention(qkv, 2).sum().backward(); })) {
        EXPECT_FALSE(path.ends_with("_scaled_dot_product_attention_math")) << device << ' ' << format;
        EXPECT_FALSE(path.ends_with("select_backward")) << "three passes where one does";
      }
    }
  }
}

TEST(Layers, TimeFeaturesAreCosinesThenSines) {
  const Tensor features = time_features(torch::tensor({0.0, 2.0, -750.0}), 4);
  const double slow = 0.01;  // exp(−ln(10000)/2)
  const auto row = [&](double t) {
    return torch::tensor({std::cos(t), std::cos(slow * t), std::sin(t), std::sin(slow * t)});
  };
  EXPECT_LT(largest_difference(features, torch::stack({row(0), row(2), row(-750)})), 1e-4);
}

TEST(Layers, FrequenciesOfTimeMayReachTheirEnd) {
  const Tensor features = time_features(torch::tensor({2.0}), 6, /*reaching_end=*/true);
  const double expected[] = {std::cos(2.0), std::cos(2e-2), std::cos(2e-4),
                             std::sin(2.0), std::sin(2e-2), std::sin(2e-4)};
  for (int64_t i = 0; i < 6; ++i) EXPECT_NEAR(features[0][i].item<double>(), expected[i], 1e-6) << i;
}

TEST(Layers, AnOddWidthEndsWithZeros) {
  const Tensor features = time_features(torch::tensor({1.0}), 5);
  EXPECT_EQ(features.sizes(), torch::IntArrayRef({1, 5}));
  EXPECT_EQ(features[0][4].item<double>(), 0);
}

TEST(NoiseFeatures, PositionalFeaturesEndAtOneTenThousandth) {
  Initializer initializer(1);
  const NoiseFeatures features(initializer, 6, std::nullopt);
  EXPECT_EQ(features->buffers().size(), 0U);
  const auto row = [](double c) {
    return torch::tensor({std::sin(c), std::sin(c / 100), std::sin(c / 1e4), std::cos(c), std::cos(c / 100),
                          std::cos(c / 1e4)});
  };
  EXPECT_LT(largest_difference(features->forward(torch::tensor({-1.5, 0.0, 1.1})),
                               torch::stack({row(-1.5), row(0), row(1.1)})),
            1e-6);
}

TEST(NoiseFeatures, FourierFeaturesAreOfTheirBuffersFrequencies) {
  Initializer initializer(1);
  const NoiseFeatures features(initializer, 4, 16.0);
  features->named_buffers()["freqs"].copy_(torch::tensor({0.25, -1.0}));
  const double pi = std::numbers::pi;
  const auto row = [&](double c) {
    return torch::tensor(
        {std::sin(pi / 2 * c), std::sin(-2 * pi * c), std::cos(pi / 2 * c), std::cos(-2 * pi * c)});
  };
  EXPECT_LT(
      largest_difference(features->forward(torch::tensor({0.7, -1.2})), torch::stack({row(0.7), row(-1.2)})),
      1e-5);
}

TEST(NoiseFeatures, FrequenciesAreNormalTimesTheirScale) {
  const auto frequencies = [](double scale) {
    Initializer initializer(3);
    return NoiseFeatures(initializer, 20'000, scale)->named_buffers()["freqs"];
  };
  EXPECT_NEAR(frequencies(16).std().item<double>(), 16, 5 * 16 / std::sqrt(20'000.0));
  EXPECT_LT(largest_difference(frequencies(16) / 800, frequencies(0.02)), 1e-6);
}

TEST(Layers, ModulesAreRegisteredUnderDottedNames) {
  Initializer initializer(1);
  torch::nn::Module root;
  register_at(root, "a.0", Linear(initializer, 1, 1));
  register_at(root, "b", Linear(initializer, 1, 1));
  register_at(root, "a.2.in", Linear(initializer, 1, 1));
  std::vector<std::string> names;
  for (const auto& parameter : root.named_parameters()) names.push_back(parameter.key());
  EXPECT_EQ(names, (std::vector<std::string>{"a.0.weight", "a.0.bias", "a.2.in.weight", "a.2.in.bias",
                                             "b.weight", "b.bias"}));
}

}  // namespace
}  // namespace cm
