#include "cm/nn/magnitude_preserving.h"

#include <gmock/gmock.h>

#include <cmath>
#include <numbers>

#include "cm/base/random.h"
#include "cm/kernels/convolution.h"
#include "cm/kernels/normal.h"
#include "cm/nn/network.h"
#include "support/closeness.h"

namespace cm {
namespace {

using test::largest_difference;
using test::relative_difference;

double magnitude_of(const Tensor& x) {
  return x.square().mean().sqrt().item<double>();
}

Tensor unit_normal(uint64_t seed, const std::vector<int64_t>& sizes) {
  return normal({.seed = seed}, {0}, sizes).squeeze(0);
}

TEST(MagnitudePreserving, UnitMagnitudeIsItsFormula) {
  const Tensor x = torch::tensor({{3.0F, 4.0F}, {0.0F, 0.0F}});
  const double magnitude = 5 / std::numbers::sqrt2 + 1e-4;
  EXPECT_LT(largest_difference(unit_magnitude(x), torch::tensor({{3 / magnitude, 4 / magnitude}, {0., 0.}})),
            1e-6);
  const Tensor images = 7 * unit_normal(1, {2, 5, 3, 3});
  EXPECT_LT(largest_difference(unit_magnitude(images).square().mean(1), torch::ones({2, 3, 3})), 1e-3);
}

TEST(MagnitudePreserving, SumsAndConcatenationsKeepTheMagnitude) {
  EXPECT_NEAR(mp_sum(0.3).first, 0.7 / std::sqrt(0.58), 1e-12);
  EXPECT_NEAR(mp_sum(0.3).second, 0.3 / std::sqrt(0.58), 1e-12);
  const Tensor a = torch::ones({1, 3, 2, 2});
  const Tensor b = torch::ones({1, 9, 2, 2});
  for (const double t : {0.0, 0.3, 0.5, 1.0}) {
    const Tensor both = mp_cat(a, b, t);
    EXPECT_EQ(both.size(1), 12);
    EXPECT_NEAR(magnitude_of(both), 1, 1e-6) << t;
    const double of_b = both.narrow(1, 3, 9).square().sum().item<double>();
    EXPECT_NEAR(of_b / both.square().sum().item<double>(), t * t / (t * t + (1 - t) * (1 - t)), 1e-6) << t;
  }
}

TEST(MagnitudePreserving, LayersKeepTheMagnitudeWhateverTheirWeights) {
  Initializer initializer(3);
  const MpLinear linear(initializer, 256, 512);
  const MpConv2d conv(initializer, MpConv2dOptions{.in = 64, .out = 64});
  const MpConv2d half(initializer, MpConv2dOptions{.in = 64, .out = 64, .kernel = 1, .gain = 0.5});
  const Tensor rows = unit_normal(1, {64, 256});
  const Tensor images = unit_normal(2, {4, 64, 16, 16});
  EXPECT_NEAR(magnitude_of(linear->forward(rows)), 1, 0.02);
  // A border of zeros takes a little.
  EXPECT_NEAR(magnitude_of(conv->forward(images).narrow(2, 1, 14).narrow(3, 1, 14)), 1, 0.02);
  EXPECT_NEAR(magnitude_of(half->forward(images)), 0.5, 0.02);
  const Tensor gain = torch::tensor(3.0F);
  EXPECT_LT(relative_difference(linear->forward(rows, gain), 3 * linear->forward(rows)), 1e-6);
  const Tensor before = conv->forward(images);
  const torch::NoGradGuard guard;
  conv->weight.mul_(5);
  EXPECT_LT(relative_difference(conv->forward(images), before), 1e-4);  // ε
}

TEST(MagnitudePreserving, LayersHaveNoBias) {
  Initializer initializer(3);
  const MpConv2d conv(initializer, MpConv2dOptions{.in = 32, .out = 32});
  EXPECT_EQ(conv->parameters().size(), 1);
  EXPECT_EQ(test::largest(conv->forward(torch::zeros({1, 32, 8, 8}))), 0);
  const Tensor x = unit_normal(2, {2, 32, 8, 8});
  const Tensor w = unit_normal(3, {32, 32, 3, 3});
  EXPECT_LT(relative_difference(convolution_3x3(x, w, /*bias=*/{}), torch::conv2d(x, w, {}, 1, 1)), 1e-5);
}

TEST(MagnitudePreserving, PartsOfTheChannelsAreOfUnitMagnitudeInAnyLayout) {
  const Tensor images = 7 * unit_normal(1, {2, 12, 4, 3});
  const Tensor expected =
      torch::cat({unit_magnitude(images.narrow(1, 0, 4)), unit_magnitude(images.narrow(1, 4, 4)),
                  unit_magnitude(images.narrow(1, 8, 4))},
                 1);
  for (const auto format : {torch::MemoryFormat::Contiguous, torch::MemoryFormat::ChannelsLast}) {
    const Tensor x = images.contiguous(format);
    const Tensor y = unit_magnitude(x, 3);
    EXPECT_LT(relative_difference(y, expected), 1e-6);
    EXPECT_EQ(y.strides(), x.strides());
  }
  EXPECT_LT(
      largest_difference(unit_magnitude(images, 3).narrow(1, 4, 4).square().mean(1), torch::ones({2, 4, 3})),
      1e-3);
}

// No pass scales them again.
TEST(MagnitudePreserving, HeldWeightsAnswerTheSame) {
  for (const auto type : {torch::kFloat32, torch::kBFloat16}) {
    Initializer initializer(3);
    const MpConv2d conv(initializer, MpConv2dOptions{.in = 32, .out = 32, .gain = 0.5});
    const Tensor x = unit_normal(2, {2, 32, 8, 8}).to(type);
    const torch::NoGradGuard guard;
    const Tensor before = conv->forward(x);
    for (int times = 0; times < 2; ++times) {
      conv.ptr()->hold(type);
      EXPECT_EQ(conv->parameters().front().scalar_type(), type);
      const KernelCalls calls =
          kernel_calls_during([&] { EXPECT_TRUE(torch::equal(conv->forward(x), before)); });
      EXPECT_FALSE(calls.contains(Kernel::unit_rows));
    }
  }
}

TEST(MagnitudePreserving, WithoutASeedALayerAnswersZero) {
  Initializer none;
  EXPECT_EQ(test::largest(MpLinear(none, 8, 4)->forward(torch::ones({2, 8}))), 0);
}

TEST(MagnitudePreserving, AClassIsItsOneHotVector) {
  Initializer initializer(3);
  const MpLinear linear(initializer, 5, 8);
  const Tensor labels = torch::tensor({int64_t{4}, int64_t{0}, kNullClass});
  Tensor one_hot = torch::one_hot(labels.clamp_min(0), 5).to(torch::kFloat32);
  one_hot[2].zero_();
  EXPECT_LT(largest_difference(linear->of_classes(labels), linear->forward(one_hot * std::sqrt(5.0))), 1e-6);
}

TEST(MagnitudePreserving, FourierFeaturesAreTheirFormulaAndOfUnitMagnitude) {
  Initializer initializer(3);
  const MpFourier fourier(initializer, 4096);
  const auto buffers = fourier->named_buffers();
  const Tensor c = torch::tensor({-0.7F, 0.3F});
  const Tensor features = fourier->forward(c);
  const Tensor angles = c.unsqueeze(1) * buffers["freqs"] + buffers["phases"];
  EXPECT_LT(largest_difference(features, std::numbers::sqrt2 * angles.cos()), 1e-5);
  EXPECT_NEAR(magnitude_of(features), 1, 0.03);
  EXPECT_NEAR(magnitude_of(buffers["freqs"]), 2 * std::numbers::pi, 0.3);
  EXPECT_NEAR(magnitude_of(buffers["phases"]), std::numbers::pi / std::sqrt(3), 0.05);
  EXPECT_TRUE(fourier->parameters().empty());
}

TEST(MagnitudePreserving, NormalizedWeightsHaveUnitRowsAndAnswerTheSame) {
  Initializer initializer(3);
  torch::nn::Module root;
  const auto linear = register_at(root, "a.linear", MpLinear(initializer, 64, 32));
  register_at(root, "a.other", Linear(initializer, 64, 32));
  const auto weights = magnitude_preserving_weights(root);
  ASSERT_EQ(weights.size(), 1);
  EXPECT_TRUE(weights[0].is_same(linear->weight));
  const torch::NoGradGuard guard;
  linear->weight.mul_(torch::linspace(0.5, 4, 32).unsqueeze(1));
  const Tensor x = unit_normal(2, {3, 64});
  const Tensor before = linear->forward(x);
  normalize_weights(weights);
  EXPECT_LT(largest_difference(linear->weight.square().mean(1), torch::ones({32})), 1e-3);
  EXPECT_LT(relative_difference(linear->forward(x), before), 1e-3);
}

}  // namespace
}  // namespace cm
