#include "cm/metrics/inception_input.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/closeness.h"

namespace cm {
namespace {

using test::largest_difference;

constexpr int64_t kSide = 299;
constexpr std::array kRules = {InceptionResize::tensorflow, InceptionResize::pytorch, InceptionResize::clean};

// v as the network sees it.
double scaled(InceptionResize rule, double v) {
  return rule == InceptionResize::pytorch ? 2 * v / 255 - 1 : (v - 128) / 128;
}

// Grey, 8 rows of `columns` pixels: pixel x of a row is 10 x.
Tensor ramp(int64_t columns) {
  const Tensor row = (10 * torch::arange(columns)).to(torch::kUInt8);
  return row.view({1, 1, 1, columns}).expand({1, 1, 8, columns});
}

TEST(InceptionInput, KeepsAConstantAndEveryColourApart) {
  const Tensor colours = torch::tensor({0, 77, 255}, torch::kUInt8).view({1, 3, 1, 1});
  for (const InceptionResize rule : kRules) {
    const Tensor input = inception_input(colours.expand({2, 3, 20, 31}), rule);
    EXPECT_EQ(input.sizes(), torch::IntArrayRef({2, 3, kSide, kSide}));
    EXPECT_EQ(input.scalar_type(), torch::kFloat32);
    const Tensor expected =
        torch::tensor({scaled(rule, 0), scaled(rule, 77), scaled(rule, 255)}).view({1, 3, 1, 1});
    EXPECT_LT(largest_difference(input, expected.expand_as(input)), 1e-6) << to_string(rule);
  }
}

TEST(InceptionInput, AnImageOfItsSizeIsOnlyScaled) {
  const Tensor image = (torch::arange(3 * kSide * kSide) % 256).to(torch::kUInt8).view({1, 3, kSide, kSide});
  for (const InceptionResize rule : kRules) {
    const Tensor x = image.to(torch::kFloat64);
    const Tensor expected = rule == InceptionResize::pytorch ? x / 127.5 - 1 : (x - 128) / 128;
    EXPECT_LT(largest_difference(inception_input(image, rule), expected), 2e-7) << to_string(rule);
  }
}

// Where an output pixel lies in the input: that is what tells the bilinear rules apart.
TEST(InceptionInput, BilinearRulesDifferInTheirCentres) {
  const Tensor pixels = ramp(26);
  const double scale = 26.0 / kSide;
  const Tensor tensorflow = inception_input(pixels, InceptionResize::tensorflow)[0][0][100];
  const Tensor pytorch = inception_input(pixels, InceptionResize::pytorch)[0][0][100];
  for (int64_t i = 0; i < kSide; ++i) {
    const double corner = std::min(static_cast<double>(i) * scale, 25.0);
    const double centre = std::clamp((static_cast<double>(i) + 0.5) * scale - 0.5, 0.0, 25.0);
    EXPECT_NEAR(tensorflow[i].item<double>(), scaled(InceptionResize::tensorflow, 10 * corner), 1e-5);
    EXPECT_NEAR(pytorch[i].item<double>(), scaled(InceptionResize::pytorch, 10 * centre), 1e-5);
  }
}

// Shrinking a checkerboard of single pixels: only the antialiased rule sees grey.
TEST(InceptionInput, OnlyCleanIsAntialiased) {
  const Tensor row = torch::arange(2 * kSide) % 2;
  const Tensor board =
      (255 * ((row.view({-1, 1}) + row) % 2)).to(torch::kUInt8).view({1, 1, 2 * kSide, 2 * kSide});
  const Tensor clean = inception_input(board, InceptionResize::clean);
  EXPECT_LT(clean.narrow(2, 9, 280).narrow(3, 9, 280).abs().max().item<double>(), 0.02);
  const Tensor tensorflow = inception_input(board, InceptionResize::tensorflow);
  EXPECT_DOUBLE_EQ(tensorflow.max().item<double>(), -1);  // every output lies on a black pixel
}

TEST(InceptionInput, CleanIsClampedToTheRangeOfPixels) {
  const Tensor edge = torch::tensor({0, 0, 255, 255}, torch::kUInt8).view({1, 1, 1, 4}).expand({1, 1, 4, 4});
  const Tensor input = inception_input(edge, InceptionResize::clean);
  EXPECT_DOUBLE_EQ(input.min().item<double>(), -1);  // without, the filter overshoots
  EXPECT_DOUBLE_EQ(input.max().item<double>(), 127.0 / 128);
}

TEST(InceptionInput, RefusesOtherTensors) {
  EXPECT_THROW(inception_input(torch::zeros({1, 3, 8, 8}), InceptionResize::clean), c10::Error);
  EXPECT_THROW(inception_input(torch::zeros({1, 2, 8, 8}, torch::kUInt8), InceptionResize::clean),
               c10::Error);
}

}  // namespace
}  // namespace cm
