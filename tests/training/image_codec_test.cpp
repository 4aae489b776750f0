#include "cm/training/image_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/kernels/normal.h"
#include "support/message_of.h"
#include "support/perturb.h"

namespace cm {
namespace {

using test::message_of;
using testing::HasSubstr;

// Of latents of three channels, half as wide as images.
std::shared_ptr<Autoencoder> small_vae() {
  AutoencoderOptions options;
  options.latent_channels = 3;
  options.block_channels = {8, 8};
  options.blocks = 1;
  options.groups = 4;
  auto vae = std::make_shared<Autoencoder>(options, "0123456789abcdef");
  test::perturb(*vae, {.seed = 5, .purpose = Purpose::evaluation});
  return vae;
}

LatentSpace small_space(PixelRange pixels = PixelRange::symmetric) {
  LatentSpace space;
  space.vae_hash = "0123456789abcdef";
  space.pixels = pixels;
  space.mean = {1, 0, -1};
  space.std = {2, 3, 4};
  space.scale = 0.5;
  return space;
}

Tensor codec_images(int64_t count = 2) {
  return normal({.seed = 6}, sample_range(0, count), {3, 8, 8}).clamp(-1, 1);
}

TEST(ImageCodec, OfPixelsChangesNothing) {
  const ImageCodec codec;
  const Tensor x = codec_images();
  EXPECT_FALSE(codec.of_latents());
  EXPECT_EQ(codec.hash(), "");
  EXPECT_TRUE(codec.decode(x).is_same(x));
  EXPECT_TRUE(codec.encode(x).is_same(x));
  EXPECT_EQ(codec.images_of({.channels = 1, .size = 8, .classes = 3}).size, 8);
}

TEST(ImageCodec, GoesThroughTheVaeAndTheNormalisation) {
  const auto vae = small_vae();
  const LatentSpace space = small_space();
  const ImageCodec codec(vae, space, 3, "--vae v");
  EXPECT_TRUE(codec.of_latents());
  const ImageSpec images = codec.images_of({.channels = 3, .size = 4, .classes = 7});
  EXPECT_EQ(images.channels, 3);
  EXPECT_EQ(images.size, 8);
  EXPECT_EQ(images.classes, 7);
  const Tensor z = vae->encode(codec_images()).mean;
  const Tensor x = codec.encode(codec_images());
  EXPECT_TRUE(torch::equal(x, normalised(space, z)));
  EXPECT_TRUE(torch::allclose(codec.decode(x), vae->decode(z).clamp(-1, 1), 1e-4, 1e-4));
  EXPECT_EQ(codec.decode(20 * x).abs().max().item<float>(), 1);
}

// EDM2 tells the VAE pixels from 0 to 1, and so gets them back.
TEST(ImageCodec, PixelsFromZeroToOne) {
  const auto vae = small_vae();
  const ImageCodec codec(vae, small_space(PixelRange::unit), 3, "--vae v");
  const Tensor z = vae->encode((codec_images() + 1) / 2).mean;
  const Tensor x = codec.encode(codec_images());
  EXPECT_TRUE(torch::equal(x, normalised(small_space(), z)));
  EXPECT_TRUE(torch::allclose(codec.decode(x), (2 * vae->decode(z) - 1).clamp(-1, 1), 1e-4, 1e-4));
}

TEST(ImageCodec, ManyAreCodedAsOneIs) {
  const ImageCodec codec(small_vae(), small_space(), 3, "--vae v");
  const Tensor images = codec_images(19);
  const Tensor x = codec.encode(images);
  EXPECT_TRUE(torch::allclose(codec.encode(images.narrow(0, 17, 1)), x.narrow(0, 17, 1), 1e-4, 1e-5));
  EXPECT_TRUE(
      torch::allclose(codec.decode(x.narrow(0, 17, 1)), codec.decode(x).narrow(0, 17, 1), 1e-4, 1e-5));
}

TEST(ImageCodec, AnotherVaeIsRefused) {
  EXPECT_THAT(
      message_of<InputError>([] { ImageCodec(small_vae(), small_space(), 4, "--vae v"); }),
      HasSubstr("--vae v: is a VAE of latents of 3 channels, but these have 4; name the folder of theirs"));
  LatentSpace other = small_space();
  other.vae_hash = "fedcba9876543210";
  EXPECT_THAT(
      message_of<InputError>([&] { ImageCodec(small_vae(), other, 3, "--vae v"); }),
      HasSubstr("--vae v: is another VAE (SHA-256 0123456789ab…) than that of the latents (fedcba987654…)"));
  other.vae_hash = "";
  EXPECT_NO_THROW(ImageCodec(small_vae(), other, 3, "--vae v"));
}

TEST(ImageCodec, AsManyAsFit) {
  std::vector<int64_t> tried;
  const auto fits = [&](int64_t most) {
    return [&tried, most](int64_t n) {
      tried.push_back(n);
      if (n > most) throw c10::OutOfMemoryError({"", "", 0}, "CUDA out of memory");
      return torch::full({1}, n);
    };
  };
  EXPECT_EQ(with_as_many_as_fit(8, fits(3)).item<int64_t>(), 2);
  EXPECT_THAT(tried, testing::ElementsAre(8, 4, 2));
  EXPECT_THROW(with_as_many_as_fit(8, fits(0)), c10::OutOfMemoryError);
  tried.clear();
  const auto broken = [&](int64_t n) -> Tensor {
    tried.push_back(n);
    TORCH_CHECK(false, "something else");
  };
  EXPECT_THROW(with_as_many_as_fit(8, broken), c10::Error);
  EXPECT_THAT(tried, testing::ElementsAre(8));
}

// Latents so wide that no machine decodes them: views of a number.
TEST(ImageCodec, WhatDoesNotFitNamesTheRemedy) {
  const ImageCodec codec(small_vae(), small_space(), 3, "--vae v");
  const Tensor wide = torch::zeros({1, 1, 1, 1}).expand({1, 3, 1 << 23, 1 << 23});
  EXPECT_THAT(
      message_of<InputError>([&] { codec.decode(wide); }),
      HasSubstr("takes more memory than is free on cpu, one at a time even; use a smaller --batch, tiles"));
}

}  // namespace
}  // namespace cm
