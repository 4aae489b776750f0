#include "cm/nn/lpips.h"

#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"
#include "support/message_of.h"
#include "support/synthetic_lpips.h"

namespace cm {
namespace {

using test::largest;
using test::largest_difference;
using testing::HasSubstr;

constexpr int64_t kSide = 16;

// One network for all tests that change no weight.
const Lpips& shared_lpips() {
  static const std::shared_ptr<Lpips> lpips = test::synthetic_lpips();
  return *lpips;
}

const Lpips& network_in_double() {
  static const std::shared_ptr<Lpips> lpips = [] {
    auto made = test::synthetic_lpips();
    made->to(torch::kFloat64);
    return made;
  }();
  return *lpips;
}

Tensor some_images(uint64_t seed, int64_t count = 2, int64_t side = kSide) {
  return (0.5 * normal({.seed = seed}, sample_range(0, count), {3, side, side})).clamp(-1, 1);
}

Tensor in_double(uint64_t seed, int64_t count = 1) {
  return some_images(seed, count).to(torch::kFloat64);
}

Tensor gradient_of(const Tensor& y, const Tensor& x, bool differentiable = false) {
  return torch::autograd::grad({y}, {x}, {}, /*retain_graph=*/std::nullopt, differentiable)[0];
}

TEST(Lpips, IsZeroForEqualsSymmetricAndPositive) {
  const Tensor a = some_images(1);
  const Tensor b = some_images(2);
  EXPECT_EQ(largest(shared_lpips().forward(a, a)), 0);
  EXPECT_TRUE(torch::equal(shared_lpips().forward(a, b), shared_lpips().forward(b, a)));
  EXPECT_EQ(shared_lpips().per_layer(a, b).sizes(), torch::IntArrayRef({2, 5}));
  EXPECT_GT(shared_lpips().per_layer(a, b).min().item<double>(), 0);
  EXPECT_LT(largest_difference(shared_lpips().forward(a, b), shared_lpips().per_layer(a, b).sum(1)), 1e-9);
}

TEST(Lpips, ASampleDoesNotSeeTheOthers) {
  const Tensor a = some_images(1, 3);
  const Tensor b = some_images(2, 3);
  const Tensor alone = shared_lpips().forward(a.narrow(0, 1, 1), b.narrow(0, 1, 1));
  EXPECT_LT(test::relative_difference(shared_lpips().forward(a, b).narrow(0, 1, 1), alone), 1e-5);
}

// Two channels that pass red and green through relu1_2, everything else 0: the first layer's term, by hand.
TEST(Lpips, HandValue) {
  Lpips lpips;
  auto weights = weights_of(lpips);
  for (int64_t c = 0; c < 2; ++c) {
    weights.at("features.0.weight").index_put_({c, c, 1, 1}, 1);
    weights.at("features.2.weight").index_put_({c, c, 1, 1}, 1);
    weights.at("lin0").index_put_({0, c, 0, 0}, static_cast<double>(1 + c));
  }
  const auto colour = [](double red, double green) {
    return torch::tensor({red, green, 0.0}).view({1, 3, 1, 1}).expand({1, 3, kSide, kSide});
  };
  // In units of ImageNet's colours a is (1, 1) and b is (3, 0), the ReLU of (3, −1).
  const auto pixel = [](double units, double mean, double std) { return 2 * (mean + units * std) - 1; };
  const Tensor a = colour(pixel(1, 0.485, 0.229), pixel(1, 0.456, 0.224));
  const Tensor b = colour(pixel(3, 0.485, 0.229), pixel(-1, 0.456, 0.224));
  const double half = std::sqrt(0.5);
  const double expected = (half - 1) * (half - 1) + 2 * half * half;
  const Tensor terms = lpips.per_layer(a, b)[0];
  EXPECT_NEAR(terms[0].item<double>(), expected, 1e-6);
  EXPECT_EQ(largest(terms.narrow(0, 1, 4)), 0);
}

TEST(Lpips, TheGradientIsThatOfFiniteDifferencesInBothImages) {
  const Tensor a = in_double(1).requires_grad_(true);
  const Tensor b = in_double(2).requires_grad_(true);
  const Tensor direction = in_double(3);
  const double h = 1e-6;
  const auto d = [](const Tensor& x, const Tensor& y) {
    return network_in_double().forward(x, y).sum().item<double>();
  };
  network_in_double().forward(a, b).sum().backward();
  const torch::NoGradGuard guard;
  const double along_a = (d(a + h * direction, b) - d(a - h * direction, b)) / (2 * h);
  const double along_b = (d(a, b + h * direction) - d(a, b - h * direction)) / (2 * h);
  EXPECT_NEAR((a.grad() * direction).sum().item<double>() / along_a, 1, 1e-5);
  EXPECT_NEAR((b.grad() * direction).sum().item<double>() / along_b, 1, 1e-5);
}

// d(a + h u, a) → h²/2 uᵀHu, H the Hessian of d at equal images: what continuous-time objectives need.
TEST(Lpips, TheHessianAtEqualImagesIsTheDistanceNearThem) {
  const Tensor a = in_double(1);
  const Tensor u = in_double(2);
  const Tensor x = a.clone().requires_grad_(true);
  const Tensor slope = gradient_of(network_in_double().forward(x, a).sum(), x, /*differentiable=*/true);
  EXPECT_EQ(largest(slope), 0);
  const double curvature = (gradient_of((slope * u).sum(), x) * u).sum().item<double>();
  const double h = 1e-5;
  const double near = network_in_double().forward(a + h * u, a).item<double>();
  EXPECT_NEAR(near / (h * h / 2 * curvature), 1, 1e-3);
}

TEST(Lpips, IsFrozen) {
  Lpips lpips;
  EXPECT_EQ(parameter_count(lpips), 14'714'688 + 64 + 128 + 256 + 512 + 512);
  for (const auto& parameter : lpips.parameters()) EXPECT_FALSE(parameter.requires_grad());
  lpips.to(torch::kFloat64);
  const Tensor a = in_double(1).requires_grad_(true);
  lpips.forward(a, in_double(2)).sum().backward();
  for (const auto& parameter : lpips.parameters()) EXPECT_FALSE(parameter.grad().defined());
}

TEST(Lpips, AnImageWithoutGradientIsNotRecorded) {
  for (const auto& features : shared_lpips().features(some_images(1))) EXPECT_FALSE(features.requires_grad());
  const Tensor a = some_images(1).requires_grad_(true);
  for (const auto& features : shared_lpips().features(a)) EXPECT_TRUE(features.requires_grad());
}

TEST(Lpips, FeaturesHaveUnitLengthOverChannels) {
  const auto features = shared_lpips().features(some_images(1));
  ASSERT_EQ(features.size(), 5U);
  int64_t side = kSide;
  for (const auto& layer : features) {
    EXPECT_EQ(layer.size(2), side);
    EXPECT_LT(largest(layer.square().sum(1) - 1), 1e-5);
    side /= 2;
  }
}

TEST(Lpips, UnitChannelsOfNothingAreNothing) {
  Tensor features = torch::tensor({3.0, 4.0, 0.0, 0.0}).view({1, 2, 2, 1}).transpose(1, 2).contiguous();
  features.requires_grad_(true);  // channels (3, 4) at one position, (0, 0) at the other
  const Tensor unit = unit_channels(features);
  EXPECT_LT(largest_difference(unit.select(2, 0).flatten(), torch::tensor({0.6, 0.8})), 1e-6);
  EXPECT_EQ(largest(unit.select(2, 1)), 0);
  const Tensor gradient = gradient_of((unit * torch::tensor({1.0, 2.0}).view({1, 2, 1, 1})).sum(), features);
  // (g − f̂ (g · f̂)) / ‖f‖ of g = (1, 2), f = (3, 4)
  EXPECT_LT(largest_difference(gradient.select(2, 0).flatten(), torch::tensor({-0.064, 0.048})), 1e-6);
  EXPECT_EQ(largest(gradient.select(2, 1)), 0);
}

TEST(Lpips, GradientsAreFiniteWhereAllFeaturesVanish) {
  Lpips lpips;
  copy_weights(shared_lpips(), lpips, "weights");
  weights_of(lpips).at("features.0.bias").fill_(-0.5);  // ImageNet's mean colour lights no channel
  weights_of(lpips).at("features.2.bias").fill_(0);
  const Tensor mean = torch::tensor({-0.03, -0.088, -0.188}).view({1, 3, 1, 1});
  Tensor a = mean.repeat({1, 1, kSide, kSide});
  a.narrow(3, 0, kSide / 2).copy_(some_images(1, 1).narrow(3, 0, kSide / 2));
  a.requires_grad_(true);
  const Tensor lit = lpips.features(a)[0].square().sum(1);
  ASSERT_GT((lit == 0).sum().item<int64_t>(), 0);
  ASSERT_GT((lit > 0).sum().item<int64_t>(), 0);
  const Tensor slope = gradient_of(lpips.forward(a, some_images(2, 1)).sum(), a, /*differentiable=*/true);
  EXPECT_TRUE(slope.isfinite().all().item<bool>());
  EXPECT_GT(largest(slope), 0);
  EXPECT_TRUE(gradient_of((slope * some_images(3, 1)).sum(), a).isfinite().all().item<bool>());
}

TEST(Lpips, LowPrecisionKeepsTheNormalisationInFp32) {
  Lpips lpips;
  copy_weights(shared_lpips(), lpips, "weights");
  lpips.to(torch::kBFloat16);
  const Tensor distance = lpips.forward(some_images(1), some_images(2));
  EXPECT_EQ(distance.scalar_type(), torch::kFloat32);
  EXPECT_LT(test::relative_difference(distance, shared_lpips().forward(some_images(1), some_images(2))),
            0.02);
}

TEST(Lpips, SizedImagesAreBilinearAndDifferentiable) {
  const Tensor x = in_double(1).requires_grad_(true);
  const Tensor sized = lpips_sized(x);
  const Tensor expected = at::upsample_bilinear2d(x, at::IntArrayRef{224, 224}, /*align_corners=*/false);
  EXPECT_LT(largest_difference(sized, expected), 1e-12);
  const Tensor g = normal({.seed = 4}, {0}, {3, 224, 224}).to(torch::kFloat64);
  EXPECT_LT(largest_difference(gradient_of((sized * g).sum(), x), gradient_of((expected * g).sum(), x)),
            1e-10);
  EXPECT_EQ(lpips_sized(torch::zeros({1, 3, 255, 255})).sizes(), torch::IntArrayRef({1, 3, 224, 224}));
  const Tensor large = torch::zeros({1, 3, 256, 256});
  EXPECT_TRUE(lpips_sized(large).is_same(large));
}

TEST(Lpips, RefusesWhatIsNoPairOfColourImages) {
  const auto of = [](const Tensor& a, const Tensor& b) {
    return test::message_of<c10::Error>([&] { shared_lpips().forward(a, b); });
  };
  const Tensor a = some_images(1);
  EXPECT_THAT(of(a, a.narrow(0, 0, 1)),
              HasSubstr("images of one shape, got [2, 3, 16, 16] and [1, 3, 16, 16]"));
  const Tensor grey = a.narrow(1, 0, 1);
  EXPECT_THAT(of(grey, grey),
              HasSubstr("needs images [B, 3, H, W] of at least 16 × 16 pixels, got [2, 1, 16, 16]"));
  const Tensor small = a.narrow(3, 0, 8);
  EXPECT_THAT(of(small, small), HasSubstr("got [2, 3, 16, 8]"));
}

TEST(Lpips, RefusesOtherWeights) {
  auto weights = test::synthetic_lpips_weights();
  weights.erase("lin4");
  weights["classifier.0.weight"] = torch::zeros({2});
  Lpips lpips;
  const auto message = test::message_of<InputError>([&] { copy_weights(weights, lpips, "vgg"); });
  EXPECT_THAT(message, HasSubstr("2 tensors differ: lin4 [1, 512, 1, 1] is missing"));
}

}  // namespace
}  // namespace cm
