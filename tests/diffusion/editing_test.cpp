#include "cm/diffusion/editing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/closeness.h"
#include "support/gaussian.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::kSigmaMin;
using test::largest_difference;
using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<double> kTimes = {80, 2.2404, 0.5, kSigmaMin};

Tensor images(uint64_t seed, int64_t count, int64_t channels, int64_t side,
              torch::ScalarType type = torch::kFloat32) {
  const RandomKey key{.seed = seed, .purpose = Purpose::evaluation};
  return normal(key, sample_range(0, count), {channels, side, side}).to(type);
}

NoiseSource noise_like(const Tensor& x, uint64_t seed) {
  return [=](int64_t step) {
    const RandomKey key{
        .seed = seed, .purpose = Purpose::sampling_noise, .step = static_cast<uint32_t>(step)};
    return normal(key, sample_range(0, x.size(0)), x.sizes().slice(1).vec()).to(x.options());
  };
}

// Every kind of constraint, on the reference y [B, 3, 4, 4].
std::vector<Constraint> constraints_on(const Tensor& y) {
  Tensor left = torch::zeros({1, 1, 4, 4}, torch::kBool);
  left.narrow(3, 0, 2).fill_(true);
  return {known_pixels(y, left), known_patch_means(y, 2), known_patch_means(y, 4), known_luma(y)};
}

Tensor patch_means(const Tensor& x, int64_t side) {
  return torch::avg_pool2d(x.to(torch::kFloat64), side);
}

Tensor luma_of(const Tensor& x) {
  const Tensor weights = torch::tensor({0.2989, 0.5870, 0.1140}, torch::kFloat64);
  return (x.to(torch::kFloat64) * (weights / weights.norm()).view({1, 3, 1, 1})).sum(1);
}

TEST(Editing, AReflectionIsOrthogonalAndItsFirstRowIsTheDirection) {
  const Tensor identity = torch::eye(5, torch::kFloat64);
  for (const auto& components : {std::vector<double>{1, 1, 1, 1, 1}, {0.3, -2, 0, 1, 5}, {-1, 0, 0, 0, 0}}) {
    Tensor direction = torch::tensor(components, torch::kFloat64);
    direction = direction / direction.norm();
    const Tensor h = reflect(identity, direction);
    EXPECT_LT(largest_difference(h.mm(h.t()), identity), 1e-12);
    EXPECT_LT(largest_difference(h, h.t()), 1e-12);
    EXPECT_LT(largest_difference(h[0], direction), 1e-12);
  }
  EXPECT_TRUE(torch::equal(reflect(identity, identity[0]), identity));
}

TEST(Editing, MapsKeepLengthsAndTheirInversesUndoThem) {
  const Tensor x = images(1, 3, 3, 8, torch::kFloat64);
  for (const auto& map : {identity_map(), patch_map(1), patch_map(2), patch_map(8), luma_map()}) {
    const Tensor coefficients = map.apply(x);
    EXPECT_NEAR(coefficients.norm().item<double>(), x.norm().item<double>(), 1e-12);
    EXPECT_LT(largest_difference(map.invert(coefficients), x), 1e-12);
  }
}

TEST(Editing, TheGreyLevelHasTheSameLuma) {
  const Tensor x = images(15, 2, 3, 4, torch::kFloat64);
  const Tensor grey = grey_level(x);
  EXPECT_EQ(grey.sizes(), torch::IntArrayRef({2, 1, 4, 4}));
  EXPECT_LT(largest_difference(luma_of(grey.expand_as(x)), luma_of(x)), 1e-12);
  EXPECT_LT(largest_difference(grey_level(grey.expand_as(x)), grey), 1e-12);
}

TEST(Editing, TheFirstCoefficientIsTheMeanOrTheLuma) {
  const Tensor x = images(2, 2, 3, 8, torch::kFloat64);
  const Tensor of_patches = patch_map(4).apply(x).select(-1, 0);
  EXPECT_LT(largest_difference(of_patches, 4 * patch_means(x, 4)), 1e-12);
  EXPECT_LT(largest_difference(luma_map().apply(x).select(-1, 0), luma_of(x)), 1e-12);
}

TEST(Editing, ProjectingKeepsTheKnownPartAndNothingElse) {
  const Tensor y = images(3, 2, 3, 4);
  const Tensor x = images(4, 2, 3, 4);
  for (const auto& constraint : constraints_on(y)) {
    const auto coefficients = [&](const Tensor& image) {
      return constraint.map.apply(image.to(torch::kFloat64));
    };
    const Tensor projected = project(constraint, x);
    const Tensor expected = torch::where(constraint.known, coefficients(y), coefficients(x));
    EXPECT_EQ(projected.scalar_type(), torch::kFloat32);
    EXPECT_LT(largest_difference(coefficients(projected), expected), 1e-6);
    EXPECT_LT(largest_difference(project(constraint, projected), projected), 1e-6);  // idempotent
    EXPECT_LT(largest_difference(project(constraint, y), y), 1e-6);
    EXPECT_LT(largest_difference(project(constraint, torch::zeros_like(x)), known_part(constraint)), 1e-12);
  }
}

TEST(Editing, TheKnownPartIsExact) {
  const Tensor y = images(5, 2, 3, 4);
  const Tensor x = 50 * images(6, 2, 3, 4);
  const auto constraints = constraints_on(y);
  const Tensor filled = project(constraints[0], x);
  EXPECT_TRUE(torch::equal(filled.narrow(3, 0, 2), y.narrow(3, 0, 2)));
  EXPECT_TRUE(torch::equal(filled.narrow(3, 2, 2), x.narrow(3, 2, 2)));
  // To the rounding of the pixels themselves, here up to 200.
  const double rounding = 200 * 0x1p-24;
  EXPECT_LT(largest_difference(patch_means(project(constraints[1], x), 2), patch_means(y, 2)), rounding);
  EXPECT_LT(largest_difference(luma_of(project(constraints[3], x)), luma_of(y)), rounding);
}

TEST(Editing, WithNothingKnownItIsMultistepSampling) {
  const Tensor y = images(7, 3, 1, 4);
  const test::Gaussian data{torch::full({1, 4, 4}, 0.2), 0.5};
  const Denoiser f = test::consistency_of(data, kSigmaMin);
  const Tensor start = 80 * images(8, 3, 1, 4);
  const Constraint nothing = known_pixels(y, torch::zeros({1, 1, 4, 4}, torch::kBool));
  const Tensor edited = edit_multistep(f, nothing, start, kTimes, kSigmaMin, noise_like(y, 1));
  EXPECT_TRUE(torch::equal(edited, sample_multistep(f, start, kTimes, kSigmaMin, noise_like(y, 1))));
  EXPECT_EQ(test::largest(known_part(nothing)), 0);
  const Constraint everything = known_pixels(y, torch::ones({1, 1, 4, 4}, torch::kBool));
  EXPECT_TRUE(torch::equal(edit_multistep(f, everything, start, kTimes, kSigmaMin, noise_like(y, 1)), y));
}

// Independent Gaussian pixels: what is known tells nothing of the rest, so the free coefficients keep their
// law: N(m, s² + ε²) pixels, of which a known patch mean takes the share 1/p² of the variance.
TEST(Editing, FreePartsFollowTheirDistribution) {
  const int64_t count = 20'000;
  const double s = 0.5;
  const double variance = s * s + kSigmaMin * kSigmaMin;
  const Tensor y = images(9, 1, 3, 4, torch::kFloat64).expand({count, 3, 4, 4});
  const Tensor mean = torch::full({3, 4, 4}, 0.2, torch::kFloat64);
  const Denoiser f = test::consistency_of(test::Gaussian{mean, s}, kSigmaMin);
  // The trajectory of N(m, s²) at σ = 80 starts from N(m, s² + 80²).
  const Tensor start = mean + std::sqrt(s * s + 80 * 80) * images(10, count, 3, 4, torch::kFloat64);
  for (const int64_t side : {2, 4}) {
    const Tensor x =
        edit_multistep(f, known_patch_means(y, side), start, kTimes, kSigmaMin, noise_like(y, 2));
    EXPECT_LT(largest_difference(patch_means(x, side), patch_means(y, side)), 1e-12);
    const double share = 1 - 1.0 / static_cast<double>(side * side);
    const Tensor spread = (x - x.mean(0)).square().mean(0);
    const double tolerance = 5 * share * variance * std::sqrt(2.0 / count);
    EXPECT_LT(largest_difference(spread, torch::full_like(spread, share * variance)), tolerance);
  }
  const Tensor coloured = edit_multistep(f, known_luma(y), start, kTimes, kSigmaMin, noise_like(y, 2));
  const Tensor weights = torch::tensor({0.2989, 0.5870, 0.1140}, torch::kFloat64);
  const Tensor share = 1 - (weights / weights.norm()).square();
  const Tensor spread = (coloured - coloured.mean(0)).square().mean(0) / share.view({3, 1, 1});
  EXPECT_LT(largest_difference(spread, torch::full_like(spread, variance)),
            5 * variance * std::sqrt(2.0 / count));
}

TEST(Editing, EveryEvaluationSeesTheKnownPart) {
  const Tensor y = images(11, 1, 1, 2);
  const Constraint constraint = known_pixels(y, torch::tensor({{true, false}, {false, true}}));
  std::vector<Tensor> inputs;
  std::vector<double> levels;
  const Denoiser zero = [&](const Tensor& x, const Tensor& sigma) {
    inputs.push_back(x);
    levels.push_back(sigma[0].item<double>());
    return torch::zeros_like(x);
  };
  const NoiseSource ones = [&](int64_t) { return torch::ones_like(y); };
  const Tensor x = edit_multistep(zero, constraint, 80 * torch::ones_like(y), {80, 5, 1, 0.5}, 0.5, ones);
  EXPECT_THAT(levels, ElementsAre(80, 5, 1));
  const Tensor kept = known_part(constraint);
  EXPECT_LT(largest_difference(inputs[1], kept + std::sqrt(25 - 0.25)), 1e-6);
  EXPECT_LT(largest_difference(inputs[2], kept + std::sqrt(1 - 0.25)), 1e-6);
  EXPECT_TRUE(torch::equal(x, kept));
}

TEST(Editing, AnImageDoesNotDependOnItsBatch) {
  const Tensor y = images(12, 3, 3, 4);
  const Tensor x = images(13, 3, 3, 4);
  const auto all = constraints_on(y);
  const auto alone = constraints_on(y.narrow(0, 1, 1));
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_TRUE(torch::equal(project(alone[i], x.narrow(0, 1, 1)), project(all[i], x).narrow(0, 1, 1)));
  }
}

TEST(Editing, ImagesThatDoNotFitAreMistakes) {
  EXPECT_THAT(message_of<InputError>([] {
                known_patch_means(torch::zeros({1, 3, 8, 8}), 3);
              }),
              HasSubstr("factor of super-resolution must divide the image's sides, got 3 for 8 × 8"));
  EXPECT_THAT(message_of<InputError>([] {
                known_patch_means(torch::zeros({1, 3, 9, 8}), 3);
              }),
              HasSubstr("got 3 for 8 × 9"));
  EXPECT_THAT(message_of<InputError>([] {
                known_patch_means(torch::zeros({1, 3, 8, 9}), 3);
              }),
              HasSubstr("got 3 for 9 × 8"));
  EXPECT_THAT(message_of<InputError>([] {
                known_patch_means(torch::zeros({1, 3, 8, 8}), 0);
              }),
              HasSubstr("got 0"));
  EXPECT_THAT(message_of<InputError>([] {
                known_luma(torch::zeros({1, 1, 8, 8}));
              }),
              HasSubstr("colorization needs images of 3 channels, got 1"));
  EXPECT_THAT(message_of<c10::Error>([] {
                known_pixels(torch::zeros({1, 1, 2, 2}), torch::ones({2, 2}));
              }),
              HasSubstr("mask of booleans"));
}

TEST(Editing, SphericalInterpolationWalksTheGreatArc) {
  const Tensor a = torch::tensor({2.0, 0.0, 0.0});
  const Tensor b = torch::tensor({0.0, 2.0, 0.0});
  const Tensor points = spherical_interpolation(a, b, {0, 1.0 / 3, 0.5, 1});
  EXPECT_TRUE(torch::equal(points[0], a));
  EXPECT_TRUE(torch::equal(points[3], b));
  EXPECT_LT(largest_difference(points[1], torch::tensor({std::sqrt(3.0), 1.0, 0.0})), 1e-6);
  EXPECT_LT(largest_difference(points[2], torch::tensor({std::sqrt(2.0), std::sqrt(2.0), 0.0})), 1e-6);
  const Tensor noise = images(14, 2, 3, 8);
  const Tensor between = spherical_interpolation(noise[0], noise[1], {0.25, 0.5, 0.75});
  EXPECT_EQ(between.sizes(), torch::IntArrayRef({3, 3, 8, 8}));
  EXPECT_NEAR(between[1].norm().item<double>() / noise[0].norm().item<double>(), 1, 0.1);
}

TEST(Editing, WhereThereIsNoArcTheInterpolationIsStraight) {
  const Tensor a = torch::tensor({3.0, 4.0});  // of length 5: no angle at all, not even by rounding
  EXPECT_LT(largest_difference(spherical_interpolation(a, a, {0.3})[0], a), 1e-6);
  EXPECT_LT(largest_difference(spherical_interpolation(a, 3 * a, {0.5})[0], 2 * a), 1e-6);
  EXPECT_LT(largest_difference(spherical_interpolation(a, -a, {0.5})[0], 0 * a), 1e-6);
}

}  // namespace
}  // namespace cm
