#include "src/metrics/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/io/image.h"
#include "cm/kernels/normal.h"
#include "cm/metrics/statistics.h"
#include "src/metrics/frechet.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::message_of;
using testing::HasSubstr;

// uint8 [n, 1, 2, 2] of correlated pixels far from the ends of their range.
Tensor correlated_images(int64_t n) {
  const Tensor z = normal({.seed = 1}, sample_range(0, n), {4});
  const Tensor mixing = torch::tensor({{0.2F, 0.0F, 0.0F, 0.0F},
                                       {0.1F, 0.1F, 0.0F, 0.0F},
                                       {0.0F, 0.1F, 0.2F, 0.0F},
                                       {0.1F, 0.0F, 0.0F, 0.1F}});
  return to_uint8(z.matmul(mixing.t())).reshape({n, 1, 2, 2});
}

TEST(Calibration, GaussianImagesHaveTheMomentsOfTheSet) {
  const Tensor images = correlated_images(500);
  const Tensor drawn = gaussian_images(images, 20000, 7);
  EXPECT_EQ(drawn.sizes(), torch::IntArrayRef({20000, 1, 2, 2}));
  const auto expected = moments_of(from_uint8(images).flatten(1));
  const auto actual = moments_of(from_uint8(drawn).flatten(1));
  EXPECT_LT((actual.mean - expected.mean).abs().max().item<double>(), 0.01);
  EXPECT_LT((actual.covariance - expected.covariance).abs().max().item<double>(), 0.003);
}

TEST(Calibration, GaussianImagesDependOnSeedAndIndexAlone) {
  const Tensor images = correlated_images(50);
  EXPECT_TRUE(torch::equal(gaussian_images(images, 5, 1), gaussian_images(images, 9, 1).slice(0, 0, 5)));
  EXPECT_FALSE(torch::equal(gaussian_images(images, 5, 1), gaussian_images(images, 5, 2)));
}

// They are drawn 4,096 at a time.
TEST(Calibration, ManyGaussianImagesDoNotRepeat) {
  const Tensor drawn = gaussian_images(correlated_images(50), 4096 + 16, 1);
  EXPECT_FALSE(torch::equal(drawn.slice(0, 0, 16), drawn.slice(0, 4096)));
}

TEST(Calibration, GaussianImagesOfAConstantSetAreItsImage) {
  const Tensor images = torch::full({3, 1, 2, 2}, 77, torch::kUInt8);
  EXPECT_TRUE(torch::equal(gaussian_images(images, 3, 0), images));
}

TEST(Calibration, FloorShrinksWithTheSet) {
  // Unit normals of width 4, halves of n: the distance falls as 1/n.
  const Tensor features = normal({.seed = 2}, sample_range(0, 4000), {4});
  const double small = frechet_floor(features.slice(0, 0, 400), 0);
  const double large = frechet_floor(features, 0);
  EXPECT_GT(large, 0);
  EXPECT_GT(small / large, 4);
  EXPECT_LT(small / large, 25);
}

// Split i by draw 1 + i.
TEST(Calibration, TheFloorIsTheMeanOverItsSplits) {
  const Tensor features = normal({.seed = 2}, sample_range(0, 40), {3});
  double sum = 0;
  for (int64_t split = 0; split < kFloorSplits; ++split) {
    const RandomKey key{.seed = 7, .purpose = Purpose::evaluation, .step = static_cast<uint32_t>(1 + split)};
    const Tensor shuffled = features.index_select(0, torch::tensor(permutation(key, 40), torch::kInt64));
    sum += frechet_distance(moments_of(shuffled.slice(0, 0, 20)), moments_of(shuffled.slice(0, 20)));
  }
  EXPECT_NEAR(frechet_floor(features, 7), sum / static_cast<double>(kFloorSplits), 1e-12);
}

TEST(Calibration, RefusesSetsThatAreTooSmallAndImagesThatAreTooLarge) {
  EXPECT_THAT(message_of<InputError>([] {
                frechet_floor(torch::zeros({3, 2}), 0);
              }),
              HasSubstr("at least 4 reference images, got 3"));
  const Tensor large = torch::zeros({2, 3, 64, 64}, torch::kUInt8);
  EXPECT_THAT(message_of<InputError>([&] { gaussian_images(large, 2, 0); }),
              HasSubstr("at most 4096 values, got 12288"));
}

}  // namespace
}  // namespace cm
