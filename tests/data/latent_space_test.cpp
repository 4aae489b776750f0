#include "cm/data/latent_space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/random.h"
#include "cm/kernels/normal.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::message_of;
using testing::HasSubstr;

const LatentScaling kEdm2{.mean = {5.81, 3.25, 0.12, -2.15}, .std = {4.17, 4.62, 3.71, 3.28}, .scale = 0.5};

Tensor some_latents() {
  return 4 * normal({.seed = 1}, sample_range(0, 3), {4, 2, 2}) + 1;
}

// (z − μ) · 0.5 / s, with μ and s of sd-vae-ft-mse.
TEST(LatentSpace, ByMeanAndDeviationAsEdm2) {
  const Tensor z =
      torch::tensor({5.81 + 4.17, 3.25, 0.12 - 2 * 3.71, 0.0}, torch::kFloat32).view({1, 4, 1, 1});
  const Tensor expected =
      torch::tensor({0.5, 0.0, -1.0, 0.5 * 2.15 / 3.28}, torch::kFloat32).view({1, 4, 1, 1});
  EXPECT_TRUE(torch::allclose(normalised(kEdm2, z), expected, 1e-6, 1e-6));
}

TEST(LatentSpace, ByOneFactorAsStableDiffusion) {
  const Tensor z = some_latents();
  EXPECT_TRUE(torch::equal(normalised({.scale = 0.18215}, z), z * 0.18215f));
}

TEST(LatentSpace, BackAgain) {
  const Tensor z = some_latents();
  EXPECT_TRUE(torch::allclose(unnormalised(kEdm2, normalised(kEdm2, z)), z, 1e-5, 1e-5));
  EXPECT_TRUE(torch::equal(normalised(kEdm2, z)[1], normalised(kEdm2, z[1])));
}

TEST(LatentSpace, ANumberAChannel) {
  EXPECT_NO_THROW(check_scaling(kEdm2, 4, "data.latents"));
  EXPECT_NO_THROW(check_scaling({}, 7, "data.latents"));
  EXPECT_THAT(message_of<InputError>([] { check_scaling(kEdm2, 8, "data.latents"); }),
              HasSubstr("data.latents.mean must have 8 numbers, one a channel of the latents, got 4"));
  EXPECT_THAT(message_of<InputError>([] {
                check_scaling({.std = {1, 2}}, 4, "x");
              }),
              HasSubstr("x.std must have 4 numbers"));
}

LatentSpace space_of_vae(const std::string& hash) {
  LatentSpace space;
  space.vae_hash = hash;
  static_cast<LatentScaling&>(space) = kEdm2;
  return space;
}

TEST(LatentSpace, WeightsOfAnotherMeanNothing) {
  const LatentSpace ours = space_of_vae("0123456789abcdef");
  EXPECT_EQ(difference(std::nullopt, std::nullopt), "");
  EXPECT_EQ(difference(ours, ours), "");
  EXPECT_EQ(difference(space_of_vae(""), ours), "");
  EXPECT_EQ(difference(std::nullopt, ours), "a model of pixels, not of latents");
  EXPECT_EQ(difference(ours, std::nullopt), "a model of latents, not of pixels");
  EXPECT_EQ(difference(space_of_vae("fedcba9876543210"), ours),
            "a model of the latents of another VAE (fedcba987654…, not 0123456789ab…)");
  LatentSpace other = ours;
  other.pixels = PixelRange::unit;
  EXPECT_EQ(difference(other, ours), "a model of latents of unit pixels, not symmetric");
  other = ours;
  other.mean.clear();
  other.std.clear();
  other.scale = 0.18215;
  EXPECT_EQ(difference(other, ours),
            "a model of latents that are normalised as (z − 0) · 0.18215 / 1, not (z − [5.81, 3.25, 0.12, "
            "-2.15]) · 0.5 / [4.17, 4.62, 3.71, 3.28]");
}

}  // namespace
}  // namespace cm
